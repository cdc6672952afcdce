"""Templates, grammars, addresses and names: what a request may bring along, and is never run, fetched or opened."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.chaos.abuse.conftest import CHATS, COMPLETES, DRAWS_2, HEARS, SEES
from tests.chaos.abuse.site import HEADERS, NEIGHBOUR, TIMEOUT_S, Site, refusal

ASK: dict[str, Any] = {"prompt": "a", "max_tokens": 1}


def schema(value: dict[str, Any]) -> dict[str, Any]:
    """A request whose answer must be JSON of that schema."""
    return ASK | {"response_format": {"type": "json_schema", "json_schema": value}}


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        inner = {"type": "object", "properties": {"a": inner}}
    return inner


def text(pattern: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}, "required": ["a"]}


class TestGrammars:
    @pytest.mark.parametrize(
        "bomb",
        [
            nested(40),
            {"type": "object", "properties": {f"k{n}": {"type": "string"} for n in range(50_000)}},
            {"enum": ["x" * 100] * 10_000},
            {"type": "array", "minItems": 10**9, "items": {"type": "string"}},
            {"type": "string", "maxLength": 10**12},
            text("a" * 100_000),
            text("([a-z]+)*\\1"),
            text("("),
            {"$ref": "http://127.0.0.1/schema.json"},
            {"$ref": "file:///etc/passwd"},
            {"$ref": "#"},
            {"allOf": [{"anyOf": [{"type": "string", "pattern": f"a{{{n}}}b{{{m}}}"} for n in range(30)]}
                       for m in range(30)]},
            {"enum": [-(2**63)]},
            {"const": {"a": [1 - 2**63]}},
            {"type": "integer", "minimum": -(2**63), "maximum": -(2**63)},
            {"enum": [2**53 + 1]},
        ],
        ids=["deep", "wide", "words", "items", "length", "long pattern", "back reference", "open",
             "address", "file", "itself", "all of any", "least", "least inside", "least alone", "between floats"],
    )  # fmt: skip
    @pytest.mark.parametrize("model", [CHATS, COMPLETES])
    def test_a_schema_bomb_is_refused_and_the_engine_goes_on(self, site: Site, model: str, bomb: Any) -> None:
        site.refuses(model, json=schema(bomb))
        assert site.post(model, json=ASK).status_code == 200

    def test_a_schema_bomb_in_a_tool_is_refused(self, site: Site) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": nested(40)}}
        site.refuses(COMPLETES, json=ASK | {"tools": [tool]})

    @pytest.mark.parametrize(
        "pattern",
        [
            "(a+)+$",
            "(a|aa)+$",
            "(.*)*x",
            "(((a{1,100}){1,100}){1,100}){1,100}",
            "(a|b|c|d){999}(e|f){999}(g|h){999}",
            "(x+x+)+y" * 60,
        ],
    )
    def test_a_pattern_that_backtracks_or_multiplies_costs_little(self, site: Site, pattern: str) -> None:
        """The automaton is built as far as the answer goes: its first tokens, or the refusal, come at once."""
        with site.unmoved():
            assert site.post(COMPLETES, json=schema(text(pattern)) | {"max_tokens": 8}).status_code in (200, 400)


class TestTemplates:
    @pytest.mark.parametrize("name", ["chat_template", "tokenize", "messages", "tools", "raise_exception"])
    def test_a_template_of_the_request_is_refused(self, site: Site, name: str) -> None:
        bomb = "{% for a in range(10**9) %}{{ a }}{% endfor %}"
        assert name in site.refuses(COMPLETES, json=ASK | {"chat_template_kwargs": {name: bomb}})

    @pytest.mark.parametrize("model", [CHATS, COMPLETES])
    def test_a_template_in_a_message_is_text(self, site: Site, model: str) -> None:
        code = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for a in range(10**9) %}{{ a }}{% endfor %}"
        with site.unmoved():
            answer = site.post(model, json=ASK | {"messages": [{"role": "user", "content": code}]})
        assert answer.status_code == 200
        assert answer.json()["result"]["usage"]["prompt_tokens"] < 2 * len(code)

    def test_a_template_beside_the_messages_has_no_effect(self, site: Site) -> None:
        plain, crafted = (
            site.post(COMPLETES, json=ASK | {"temperature": 0} | more).json()["result"]["usage"]
            for more in ({}, {"chat_template": "{{ 'x' * 500 }}", "trust_remote_code": True})
        )
        assert crafted == plain


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A listening socket that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


ADDRESSES = [
    "http://127.0.0.1:{port}/a.png",
    "https://127.0.0.1:{port}/a.png",
    "HTTP://localhost:{port}/a.png",
    "http://[::ffff:127.0.0.1]:{port}/a.png",
    "http://2130706433:{port}/a.png",
    "http://user@127.0.0.1:{port}/redirect?to=http://127.0.0.1:{port}/a.png",
    "//127.0.0.1:{port}/a.png",
    "ftp://127.0.0.1:{port}/a.png",
    "file:///etc/passwd",
    "/etc/passwd",
    "data:text/uri-list,http://127.0.0.1:{port}/a.png",
    "data:image/svg+xml;base64,PHN2Zy8+",
]


class TestAddresses:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_a_picture_at_an_address_is_never_fetched(self, site: Site, trap: socket.socket, address: str) -> None:
        url = address.format(port=trap.getsockname()[1])
        for image_url in (url, {"url": url}):
            content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": image_url}]
            site.refuses(CHATS, json={"messages": [{"role": "user", "content": content}], "max_tokens": 1})

    @pytest.mark.parametrize("address", ADDRESSES[:10])
    @pytest.mark.parametrize(("model", "field"), [(SEES, "image"), (HEARS, "audio"), (DRAWS_2, "input_image_0")])
    def test_media_at_an_address_is_never_fetched(
        self, site: Site, trap: socket.socket, address: str, model: str, field: str
    ) -> None:
        url = address.format(port=trap.getsockname()[1])
        form = {"files": {"prompt": (None, "a"), field: (None, url)}}
        answer = site.post(model, **(form if model == DRAWS_2 else {"json": {field: url}}))
        assert (answer.status_code, answer.json()["errors"][0]["code"]) in [(400, 5006), (400, 5004)]

    def test_no_header_is_an_address_either(self, site: Site, trap: socket.socket) -> None:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/"
        headers = dict.fromkeys(("x-request-id", "x-forwarded-host", "referer", "cf-aig-metadata"), url)
        assert site.post(NEIGHBOUR, json={"text": "a"}, headers=headers).status_code == 200


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "../../../../etc/passwd",
            "..%2f..%2f..%2fetc%2fpasswd",
            "%252e%252e%252fetc%252fpasswd",
            "/etc/passwd",
            "file:/etc/passwd",
            "@test/neighbour/../sees",
            "@test/neighbour%00",
            "@test/neighbour%0d%0aX-Injected:%20yes",
            "@test/neighbour%20",
            "$(touch%20/tmp/x)",
            "hf:org/repo@main",
            "%ff%fe",
            "x" * 60_000,
        ],
    )
    def test_a_name_is_looked_up_and_nothing_else(self, site: Site, name: str) -> None:
        with site.unmoved():
            answer = site.post(name, json={"text": "a"})
        assert answer.status_code in (400, 404, 414), answer.text
        assert "x-injected" not in answer.headers
        assert "root:" not in answer.text
        assert len(answer.text) < 2000

    @pytest.mark.parametrize("name", ["../../etc/passwd", "\x00", "a\r\nb", "\x1b[31m", "\u202e", "x" * 1_000_000])
    def test_a_name_in_a_body_is_looked_up_and_nothing_else(self, site: Site, name: str) -> None:
        url = site.server.run_url("").rstrip("/")
        with site.unmoved():
            answer = httpx.post(url, json={"model": name, "input": {"text": "a"}}, headers=HEADERS, timeout=TIMEOUT_S)
        assert len(refusal(answer, 5007)) < 1000
