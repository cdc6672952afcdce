"""The HTTP layer: floods of headers and parts, lies about lengths, and bodies without an end."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from tests.chaos.abuse.conftest import DRAWS_2
from tests.chaos.abuse.site import NEIGHBOUR, TIMEOUT_S, Site
from tests.server import ACCOUNT

PATH = f"/client/v4/accounts/{ACCOUNT}/ai/run/{NEIGHBOUR}"
HEAD = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer any\r\n".encode()
FORM = {"content-type": "multipart/form-data; boundary=X"}
REFUSED = (431, 0)  # a client that is still sending may see the end of the connection before the answer
PART = b'--X\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'


def spoken(site: Site, *sent: bytes, ends: bool = False) -> tuple[int, bytes]:
    """Status and body of the first answer to bytes sent by hand; 0 if the connection was closed without one.

    With `ends` the sending side is closed after the last byte. A server that waits for ever fails the test by the
    socket's own timeout.
    """
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=TIMEOUT_S) as connection:
        with contextlib.suppress(OSError):  # the server has answered and closed already
            for part in sent:
                connection.sendall(part)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
                answer += more
            head, _, body = answer.partition(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            while length and len(body) < int(length.split(b"\r\n")[0]) and (more := connection.recv(65536)):
                body += more
    return int(answer.split(b" ", 2)[1]) if answer else 0, body if answer else b""


def chunks(size_bytes: int) -> Iterator[bytes]:
    """A chunked body of that many bytes, without its end."""
    for _ in range(size_bytes >> 20):
        yield b"100000\r\n" + bytes(1 << 20) + b"\r\n"


class TestHeaders:
    @pytest.mark.parametrize(
        "flood",
        [
            b"x-flood: " + b"a" * 1_000_000 + b"\r\n\r\n",
            b"".join(b"x-%d: a\r\n" % number for number in range(100_000)) + b"\r\n",
            b"authorization: " + b"a" * 500_000 + b"\r\n\r\n",
        ],
        ids=["one", "many", "credential"],
    )
    def test_a_flood_of_headers_is_refused(self, site: Site, flood: bytes) -> None:
        with site.unmoved():
            status, _ = spoken(site, HEAD + b"content-length: 0\r\n", flood)
        assert status in REFUSED

    def test_a_vast_target_is_refused(self, site: Site) -> None:
        with site.unmoved():
            status, _ = spoken(site, b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert status in REFUSED

    def test_headers_without_an_end_take_no_memory(self, site: Site) -> None:
        with site.unmoved():
            status, _ = spoken(site, HEAD, *[b"x: " + b"a" * 1_000_000 + b"\r\n"] * 100, ends=True)
        assert status in REFUSED

    def test_a_trailer_without_an_end_takes_no_memory(self, site: Site) -> None:
        start = HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: "
        with site.unmoved():
            status, _ = spoken(site, start, *[b"a" * 1_000_000] * 100, ends=True)
        assert status == 0


class TestLengths:
    @pytest.mark.parametrize(
        "lie",
        [
            b"content-length: -1\r\n",
            b"content-length: 1e3\r\n",
            b"content-length: +5\r\n",
            b"content-length: 0x10\r\n",
            b"content-length: 5\r\ncontent-length: 6\r\n",
            b"content-length: 13\r\ntransfer-encoding: chunked\r\n",
            b"transfer-encoding: gzip, chunked\r\n",
            b"content-length: " + b"9" * 5_000 + b"\r\n",
        ],
    )
    def test_a_length_that_is_none_is_refused(self, site: Site, lie: bytes) -> None:
        with site.unmoved():
            status, _ = spoken(site, HEAD + lie + b"\r\n" + b'{"text":"hi"}', ends=True)
        assert 400 <= status < 500 or status == 0

    def test_a_body_shorter_than_its_length_is_nobodys_request(self, site: Site) -> None:
        with site.unmoved():
            status, _ = spoken(site, HEAD + b"content-length: 1000000\r\n\r\n", b'{"text":"hi"}', ends=True)
        assert status in (0, 400, 499)

    @pytest.mark.parametrize("length", [b"10485761", b"999999999999999999", b"9" * 30])
    def test_a_declared_length_beyond_the_limit_is_413_before_the_body(self, site: Site, length: bytes) -> None:
        with site.unmoved():
            status, body = spoken(site, HEAD + b"content-length: %b\r\n\r\n" % length)
        assert status in (400, 413)
        assert status == 400 or json.loads(body)["errors"][0]["code"] == 3006

    def test_a_chunked_body_past_the_limit_is_413(self, site: Site) -> None:
        with site.unmoved():
            status, body = spoken(site, HEAD + b"transfer-encoding: chunked\r\n\r\n", *chunks(200 << 20))
        assert (status, json.loads(body)["errors"][0]["code"]) == (413, 3006)

    @pytest.mark.parametrize("size", [b"ffffffffffffffffff", b"-1", b"g", b"1;" + b"x" * 1_000_000])
    def test_a_chunk_of_impossible_size_is_refused(self, site: Site, size: bytes) -> None:
        with site.unmoved():
            status, _ = spoken(site, HEAD + b"transfer-encoding: chunked\r\n\r\n", size + b"\r\nx", ends=True)
        assert 400 <= status < 500 or status == 0

    def test_a_compressed_body_is_refused(self, site: Site) -> None:
        site.refuses(NEIGHBOUR, content=b"\x1f\x8b" + bytes(100), headers={"content-encoding": "gzip"})


class TestForms:
    @pytest.mark.parametrize(
        "body",
        [
            PART % (b"a", b"") * 100_000,
            b"--X\r\n" * 1_000_000,
            b"--X\r\n" + b"A: b\r\n" * 500_000,
            b"--X\r\nA: " + b"b" * 9_000_000,
            PART % (b"a" * 5_000_000, b""),
            PART % (b"prompt", b"\r\n--" * 2_000_000),
            PART % (b"prompt", b"a"),
            b"\r\n" * 4_000_000,
        ],
        ids=["parts", "bare parts", "headers", "header", "name", "near boundaries", "no end", "line ends"],
    )
    def test_a_flood_of_parts_is_refused(self, site: Site, body: bytes) -> None:
        site.refuses(DRAWS_2, content=body, headers=FORM)

    def test_a_boundary_without_bounds_is_refused(self, site: Site) -> None:
        kind = {"content-type": f"multipart/form-data; boundary={'X' * 5000}"}
        site.refuses(DRAWS_2, content=b"--X--", headers=kind)
