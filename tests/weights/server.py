"""An HTTP server on loopback that serves files with ranges, breaks off on demand, and remembers what was asked."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"
UNAVAILABLE = -1


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    start: int


@dataclass
class Site:
    """What is served. `cuts[path]`: for each coming GET, the byte after which the connection ends."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def gets(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "GET" and asked.path == path]

    def add_repository(self, repo: str, files: dict[str, bytes]) -> None:
        """Files as a hub serves them: a listing with sizes and hashes, large files by SHA-256, others by git's id."""
        siblings = []
        for name, body in files.items():
            entry = {"rfilename": name, "size": len(body)}
            entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            if len(body) > 1000:
                entry["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
            siblings.append(entry)
            self.bodies[f"/{repo}/resolve/{REVISION}/{name}"] = body
        listing = json.dumps({"id": repo, "sha": REVISION, "siblings": siblings}).encode()
        self.bodies[f"/api/models/{repo}/revision/{REVISION}"] = listing
        self.bodies[f"/api/models/{repo}/revision/main"] = listing
        self.bodies[f"/api/models/{repo}/revision/refs/pr/7"] = listing

    def add_wheel(self, name: str, body: bytes) -> str:
        """A release on a simple index (PEP 503); the path of its file."""
        project = name.split("-")[0].replace("_", "-")
        path = f"/files/{name}"
        self.bodies[path] = body
        link = f'<a href="{path}#sha256={hashlib.sha256(body).hexdigest()}">{name}</a>'
        self.bodies[f"/simple/{project}/"] = self.bodies.get(f"/simple/{project}/", b"<!DOCTYPE html>") + link.encode()
        return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, *, has_body: bool) -> None:
        site, path = self.server.site, unquote(urlsplit(self.path).path)
        body = site.bodies.get(path)
        given = self.headers.get("Range", "bytes=0-")
        start = int(given.removeprefix("bytes=").partition("-")[0])
        site.asked.append(Asked(self.command, path, start))
        planned = site.cuts.get(path)
        cut = planned.pop(0) if has_body and planned else len(body or b"")
        if body is None or cut == UNAVAILABLE:
            self.send_error(404 if body is None else 503)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Type", "text/html" if path.startswith("/simple") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if has_body:
            self._send(site, path, body[start:cut], is_cut=cut < len(body))

    def _send(self, site: Site, path: str, piece: bytes, *, is_cut: bool) -> None:
        site.reached.set() if path in site.gates else None
        if gate := site.gates.get(path):
            gate.wait(60)
        try:
            self.wfile.write(piece)
        except ConnectionError:
            is_cut = True  # the client was killed, which some tests do
        self.close_connection = is_cut or self.close_connection

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Site) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site


class Running:
    """Serves a `Site` while the context is open."""

    def __init__(self) -> None:
        self.site = Site()
        self._server = _Server(self.site)
        self.site.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Site:
        self._thread.start()
        return self.site

    def __exit__(self, *_: object) -> None:
        for gate in self.site.gates.values():
            gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
