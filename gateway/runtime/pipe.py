"""A worker's end of its pipe: messages out and in, and the gateway's end as its own; knows no engine."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from typing import Any

from gateway.runtime import framing, messages
from gateway.runtime.messages import Stop


class Pipe:
    """The worker's end: frames are read by a thread, so that the end of the gateway is noticed even mid-batch."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = framing.FrameBuffer()
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.sent_at = time.monotonic()

    def first(self) -> Any:
        """The first message, read without a thread."""
        while self._arrived.empty():
            self._take()
        return self._arrived.get()

    def watch(self) -> None:
        """Begin to read, until the gateway is gone: then the process ends."""
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    def _read(self) -> None:
        while True:
            self._take()

    def _take(self) -> None:
        try:
            data = self._connection.recv(1 << 20)
        except OSError:  # A gateway that is killed before it has read our answers resets the connection.
            data = b""
        if not data:
            os._exit(0)
        for payload in self._frames.feed(data):
            self._arrived.put(framing.for_worker(payload))

    def receive(self, *, wait: bool) -> Any:
        """The next message; None if there is none and `wait` is false."""
        try:
            return self._arrived.get(block=wait)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Have the next message be the order to stop, from any thread."""
        self._arrived.put(Stop())

    def send(self, message: messages.Message) -> None:
        """Send one message; the process ends if nobody is there to take it."""
        try:
            self._connection.sendall(framing.to_frame(message))
        except OSError:
            os._exit(0)
        self.sent_at = time.monotonic()
