"""A network namespace whose every road ends in a trap, and what was seen on them; knows no gateway."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
EVERY_PROTOCOL, IPV4, IPV6 = 0x0003, 0x0800, 0x86DD
SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 33, 263, 6
BUFFER_BYTES = 64 << 20
TRANSPORTS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
# The kernel itself tells its neighbours to which groups an interface listens (RFC 3810).
GROUP_REPORTS = IPv6Address("ff02::16")
# The neighbours are known ahead, so that an attempt is a packet to its destination, not a question for the way there.
ROADS = """
link set lo up
link add trap type veth peer name void
link set trap addrgenmode none
link set void addrgenmode none
address add 192.0.2.2/24 dev trap
address add 2001:db8::2/64 dev trap nodad
link set trap up
link set void up
neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev trap nud permanent
neighbour add 2001:db8::1 lladdr 02:00:00:00:00:01 dev trap nud permanent
route add default via 192.0.2.1
route add default via 2001:db8::1
"""


class NotPermitted(Exception):
    """This system or container has no namespaces for us."""


@dataclass(frozen=True)
class Packet:
    """`kind` is `tcp`, `udp` or a number of a protocol; the ports of others are 0."""

    interface: str
    kind: str
    source: IPv4Address | IPv6Address | None = None
    destination: IPv4Address | IPv6Address | None = None
    source_port: int = 0
    port: int = 0

    def is_between(self, port: int) -> bool:
        """Whether it belongs to a connection of this machine with itself on `port`."""
        is_local = self.source is not None and self.destination is not None
        is_local = is_local and self.source.is_loopback and self.destination.is_loopback  # type: ignore[union-attr]
        return is_local and self.interface == "lo" and self.kind == "tcp" and port in (self.source_port, self.port)


class Enclosure:
    """The namespace of one thread: what `run` calls is in it, as are the processes that this starts.

    Nothing outside can be reached, but there is a road to every address, so whatever is tried is a packet and is seen.
    """

    def __enter__(self) -> Self:
        """Raises `NotPermitted`."""
        self._thread = ThreadPoolExecutor(1)
        try:
            self._seen = self.run(_enter)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._seen.close()
        self._thread.shutdown()

    def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What `work` gives, inside."""
        return self._thread.submit(work, *arguments).result()

    @contextmanager
    def within(self, manager: AbstractContextManager[T]) -> Iterator[T]:
        """`with manager`, entered and left inside."""
        value = self.run(manager.__enter__)
        try:
            yield value
        finally:
            self.run(manager.__exit__, None, None, None)

    def packets(self) -> set[Packet]:
        """All that was sent since the last call, on every interface; fails if any was missed."""
        seen: set[Packet] = set()
        while True:
            try:
                data, address = self._seen.recvfrom(128)
            except BlockingIOError:
                break
            packet = _packet(address[0], address[1], data)
            if packet.destination != GROUP_REPORTS:
                seen.add(packet)
        _, missed = struct.unpack("II", self._seen.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert missed == 0
        return seen


def _enter() -> socket.socket:
    ip = shutil.which("ip")
    if ip is None:
        raise NotPermitted("the command ip of iproute2 is not here")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise NotPermitted(f"unshare: {os.strerror(ctypes.get_errno())}")
    done = subprocess.run([ip, "-batch", "-"], input=ROADS.strip(), capture_output=True, text=True)
    if "not supported" in done.stderr:
        raise NotPermitted("this kernel has no veth")
    assert done.returncode == 0, done.stderr
    seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY_PROTOCOL))
    seen.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    seen.setblocking(False)
    return seen


def _packet(interface: str, protocol: int, data: bytes) -> Packet:
    if protocol == IPV4:
        kind, header_bytes, addresses = data[9], (data[0] & 15) * 4, (data[12:16], data[16:20])
    elif protocol == IPV6:
        kind, header_bytes, addresses = data[6], 40, (data[8:24], data[24:40])
    else:
        return Packet(interface, f"{protocol:#06x}")
    source, destination = map(ip_address, addresses)
    if kind not in TRANSPORTS:
        return Packet(interface, str(kind), source, destination)
    return Packet(interface, TRANSPORTS[kind], source, destination, *struct.unpack_from("!HH", data, header_bytes))
