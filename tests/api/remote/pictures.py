"""An HTTP(S) server on loopback that hands out pictures, and trouble, and remembers who came."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.tiny_vision import picture

CAT, DOG = picture(40, 30, 1), picture(30, 40, 2, kind="JPEG")


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(to: str, status: int = 302) -> bytes:
    return answer(b"", f"location: {to}", status=f"{status} Elsewhere")


def self_signed(folder: Path, host: str) -> Path:
    """A certificate for `host` that only those trust who are told to, and its key in the same file."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem -out cert.pem"
    command = [*make.split(), "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return both


def tls_of(certificate: Path) -> ssl.SSLContext:
    """What a server with that certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@dataclass
class Pictures:
    """`answers` by path; beside them `/silent` sends a head and then nothing, and `/endless` never stops."""

    port: int = 0
    scheme: str = "http"
    answers: dict[str, bytes] = field(default_factory=lambda: {"/cat.png": answer(CAT), "/dog.jpg": answer(DOG)})
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str, host: str = "pictures.test") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            path = head.split(" ")[1].partition("?")[0]
            if path in ("/silent", "/endless"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n" + CAT)
                for _ in count() if path == "/endless" else ():
                    writer.write(bytes(10_000))
                    await writer.drain()
                await reader.read()
                self.left.set()
            else:
                writer.write(self.answers.get(path, answer(b"nothing here", status="404 Not Found")))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def pictures(
    host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Pictures]:
    """A server that listens on `host`."""
    site = Pictures(scheme="http" if tls is None else "https")
    server = await asyncio.start_server(site.serve, host, port, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await server.wait_closed()
