"""Fetching from real servers on loopback: what is asked for, and every way to be led astray."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.api.remote.fetch import Allowance, Fetcher
from gateway.api.remote.hosts import AddressRefused, HostList
from gateway.api.remote.media import RemoteMedia
from gateway.errors import Overloaded
from gateway.runtime.metrics import Metrics
from tests.api.remote.pictures import CAT, Pictures, answer, pictures, redirect, self_signed, tls_of

MUCH = 1 << 20


class Names:
    """Resolves `pictures.test` to what it is told, answer after answer, and then the last again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[tuple[str, int]] = []
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if host != "pictures.test":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Pictures]:
    async with pictures() as site:
        yield site


@contextmanager
def trap(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port of a listening socket that nobody may connect to."""
    with socket.create_server((host, port)) as listener:
        listener.setblocking(False)
        yield listener.getsockname()[1]
        with pytest.raises(BlockingIOError):
            listener.accept()


def fetcher(site: Pictures, *addresses: Sequence[str], private: bool = True) -> Fetcher:
    entry = ("private:" if private else "") + f"{site.scheme}://pictures.test:{site.port}"
    return Fetcher(HostList([entry]), Names(*(addresses or [["127.0.0.1"]])))


async def why(fetching: Awaitable[bytes]) -> str:
    with pytest.raises(AddressRefused) as found:
        await fetching
    return f"{found.value} ({found.value.why})"


async def test_a_picture_is_asked_for_and_nothing_is_told(site: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers["/set"] = redirect("/cat.png?size=2")[:-4] + b"\r\nset-cookie: a=b\r\n\r\n"
    with trap() as port:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert await fetcher(site).fetch(site.url("/set#part"), Allowance(MUCH)) == CAT
    first, second = site.heads
    assert first.startswith("GET /set HTTP/1.1\r\n")
    assert second.startswith("GET /cat.png?size=2 HTTP/1.1\r\n")
    for head in (first, second):
        names = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        assert names.pop("host") == f"pictures.test:{site.port}"
        assert set(names) == {"user-agent", "accept", "accept-encoding", "connection"}
        assert names["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::1", "fe80::1%lo", "fd00::1", "224.0.0.1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [[], ["1.1.1.1"]])
async def test_a_name_that_leads_to_no_public_address_is_not_connected_to(address: str, beside: list[str]) -> None:
    with trap() as port:
        pond = fetcher(Pictures(port=port), [*beside, address], private=False)
        said = await why(pond.fetch(f"http://pictures.test:{port}/a.png", Allowance(MUCH)))
    assert said == f"cannot be fetched ({ipaddress.ip_address(address)} is not a public address)"


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked() -> None:
    async with pictures("127.0.0.2") as site:
        with trap("127.0.0.1", site.port):
            names = Names(["127.0.0.2"], ["127.0.0.1"])
            pond = Fetcher(HostList([f"private:http://pictures.test:{site.port}"]), names)
            assert await pond.fetch(site.url("/cat.png"), Allowance(MUCH)) == CAT
    assert names.asked == [("pictures.test", site.port)]


async def test_a_name_that_changes_its_mind_is_checked_again_at_a_redirect(site: Pictures) -> None:
    site.answers["/turn"] = redirect("/cat.png")
    said = await why(fetcher(site, ["127.0.0.1"], ["169.254.169.254"]).fetch(site.url("/turn"), Allowance(MUCH)))
    assert "169.254.169.254 is not a public address" in said
    assert site.connections == 1


async def test_the_next_address_is_tried_where_one_takes_no_connection() -> None:
    async with pictures("127.0.0.2") as site:
        assert await fetcher(site, ["127.0.0.3", "127.0.0.2"]).fetch(site.url("/cat.png"), Allowance(MUCH)) == CAT


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://2130706433:{port}/a.png",
        "//localhost:{port}/a.png",
        "https://pictures.test:{port}/a.png",
        "http://pictures.test@127.0.0.1:{port}/a.png",
        "http://a@pictures.test:{site}/cat.png",
        "file:///etc/passwd",
        "gopher://pictures.test:{port}/",
        "http://[",
        "",
    ],
)
@pytest.mark.parametrize("status", [302, 308])
async def test_a_redirect_leads_nowhere_that_the_list_does_not(site: Pictures, to: str, status: int) -> None:
    with trap() as port:
        site.answers["/away"] = redirect(to.format(port=port, site=site.port), status)
        if not to:
            site.answers["/away"] = answer(b"", status=f"{status} Elsewhere")
        said = await why(fetcher(site).fetch(site.url("/away"), Allowance(MUCH)))
    assert said.startswith("leads to a host that this gateway does not fetch media from")


async def test_redirects_are_followed_three_times(site: Pictures) -> None:
    site.answers |= {f"/{n}": redirect(f"/{n - 1}") for n in range(1, 5)} | {
        "/0": answer(CAT),
        "/loop": redirect("/loop"),
    }
    assert await fetcher(site).fetch(site.url("/3"), Allowance(MUCH)) == CAT
    for path in ("/4", "/loop"):
        assert await why(fetcher(site).fetch(site.url(path), Allowance(MUCH))) == (
            "is redirected more than 3 times (is redirected more than 3 times)"
        )


async def test_a_body_is_read_as_far_as_it_is_allowed(site: Pictures) -> None:
    said = await why(fetcher(site).fetch(site.url("/endless"), Allowance(100_000)))
    assert "must not have more than 100000 bytes together" in said
    await asyncio.wait_for(site.left.wait(), 30)
    both = Allowance(len(CAT) + 1)
    assert await fetcher(site).fetch(site.url("/cat.png"), both) == CAT
    assert "bytes together" in await why(fetcher(site).fetch(site.url("/cat.png"), both))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/missing", "its server answers with status 404"),
        ("/error", "its server answers with status 500"),
        ("/part", "its server answers with status 206"),
        ("/packed", "its server sends it compressed"),
        ("/short", "cannot be fetched"),
        ("/nonsense", "cannot be fetched"),
        ("/head", "cannot be fetched"),
    ],
)
async def test_an_answer_that_is_no_file_is_refused(site: Pictures, path: str, text: str) -> None:
    site.answers |= {
        "/error": answer(b"", status="500 Oh"),
        "/part": answer(CAT, status="206 Part"),
        "/packed": answer(CAT, "content-encoding: gzip"),
        "/short": answer(CAT)[:-10],
        "/nonsense": b"220 smtp.example ready\r\n",
        "/head": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    }
    said = await why(fetcher(site).fetch(site.url(path), Allowance(MUCH)))
    assert said.startswith(text)
    assert "127.0.0.1" not in said.partition(" (")[0]


@pytest.mark.parametrize(
    "url", ["https://", "http://[::1", "https://a\x00b/", "http://pictures.test:99999/", "https:" * 5000]
)
async def test_what_is_no_address_is_refused(url: str, site: Pictures) -> None:
    await why(fetcher(site).fetch(url, Allowance(MUCH)))
    assert site.connections == 0


async def test_a_server_that_stalls_is_left_in_time(site: Pictures) -> None:
    media = RemoteMedia(fetcher(site), Metrics(), deadline_s=0.2)
    assert "did not arrive within 0.2 s" in await why(media.fetched(site.url("/silent"), Allowance(MUCH)))
    await asyncio.wait_for(site.left.wait(), 30)


async def test_who_gets_no_turn_in_time_is_told_to_come_again(site: Pictures) -> None:
    media = RemoteMedia(fetcher(site), Metrics(), deadline_s=0.05, turns=asyncio.Semaphore(0))
    with pytest.raises(Overloaded):
        await media.fetched(site.url("/cat.png"), Allowance(MUCH))
    assert site.connections == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"), "pictures.test")


@pytest_asyncio.fixture
async def secure(certificate: Path) -> AsyncIterator[tuple[Pictures, list[str | None]]]:
    """An HTTPS server, and the names that clients said they wanted."""
    names: list[str | None] = []
    context = tls_of(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with pictures(tls=context) as site:
        yield site, names


async def test_https_goes_to_the_checked_address_and_asks_for_the_name(
    secure: tuple[Pictures, list[str | None]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, names = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert await fetcher(site).fetch(site.url("/cat.png", "PICTURES.test."), Allowance(MUCH)) == CAT
    assert names == ["pictures.test"]
    assert f"host: pictures.test:{site.port}" in site.heads[0].lower()


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a_certificate_for_another_name_or_by_a_stranger_is_refused(
    secure: tuple[Pictures, list[str | None]], certificate: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    site, _ = secure
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    host = "127.0.0.1" if is_trusted else "pictures.test"
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] = Names(["127.0.0.1"])

    async def itself(name: str, port: int) -> Sequence[str]:
        return [name] if name == "127.0.0.1" else await resolve(name, port)

    pond = Fetcher(HostList([f"private:https://{host}:{site.port}"]), itself)
    assert "certificate verify failed" in await why(pond.fetch(site.url("/cat.png", host), Allowance(MUCH)))
    assert not site.heads
