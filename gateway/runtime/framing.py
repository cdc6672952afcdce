"""Messages as length-prefixed msgpack, the one form in which bytes cross the pipe; knows no process."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.runtime.messages import FromWorker, Message, ToWorker

MAX_FRAME_BYTES = 1 << 30
_PREFIX_BYTES = 4
_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


class Garbage(Exception):
    """The bytes on the pipe are no frame."""


def pack(value: Any) -> bytes:
    """Plain values as msgpack."""
    return _encoder.encode(value)


def unpack(data: bytes | msgspec.Raw) -> Any:
    """The plain values of `pack`."""
    return msgspec.msgpack.decode(data)


def to_frame(message: Message) -> bytes:
    """The message with its length in front (4 bytes, little-endian)."""
    payload = _encoder.encode(message)
    return len(payload).to_bytes(_PREFIX_BYTES, "little") + payload


def for_worker(payload: bytes) -> ToWorker:
    """The message a worker received; raises `Garbage`."""
    try:
        return _to_worker.decode(payload)
    except msgspec.DecodeError as error:
        raise Garbage(str(error)) from error


def for_gateway(payload: bytes) -> FromWorker:
    """The message the gateway received; raises `Garbage`."""
    try:
        return _from_worker.decode(payload)
    except msgspec.DecodeError as error:
        raise Garbage(str(error)) from error


def frame_length(prefix: bytes | bytearray) -> int:
    """The payload's length in bytes from its prefix; raises `Garbage` beyond the bound."""
    length = int.from_bytes(prefix[:_PREFIX_BYTES], "little")
    if length > MAX_FRAME_BYTES:
        raise Garbage(f"a frame of {length} bytes")
    return length


class FrameBuffer:
    """Bytes in, whole payloads out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completed; raises `Garbage`."""
        if not self._buffer and len(data) > _PREFIX_BYTES and frame_length(data) == len(data) - _PREFIX_BYTES:
            return [data[_PREFIX_BYTES:]]
        self._buffer += data
        payloads: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _PREFIX_BYTES:
            end = start + _PREFIX_BYTES + frame_length(self._buffer[start : start + _PREFIX_BYTES])
            if len(self._buffer) < end:
                break
            payloads.append(bytes(self._buffer[start + _PREFIX_BYTES : end]))
            start = end
        del self._buffer[:start]
        return payloads
