"""What other servers are asked is what the caller asked for, in each server's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.upstream.dialect import DIALECTS, dialect_of
from gateway.engines.llm.upstream.forced import call_schema
from gateway.engines.llm.upstream.options import UpstreamOptions, read_key
from gateway.engines.llm.upstream.request import Facts, Request, Translator
from gateway.engines.options import read_options
from gateway.errors import BadInput, LoraUnsupported
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation
from gateway.tasks.output_format import OBJECT, OutputFormat
from gateway.tasks.tools import Tool, ToolChoice

TOOLS = (Tool.model_validate({"name": "f"}), Tool.model_validate({"name": "g"}))
SCHEMA = {"type": "array"}
CALLED = {"type": "function", "function": {"name": "g"}}


def translated(kind: str, account: str = "", **fields: Any) -> Request:
    fields.setdefault("prompt", "Hi")
    facts = Facts("m", DIALECTS[kind], window=1000, adapters={"tuned"})
    return Translator(facts).request(Generation(**fields), account)


PLAIN = {"temperature": 1.0, "top_p": 1.0, "stream": True, "stream_options": {"include_usage": True}, "model": "m"}


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_plain_request_switches_off_what_a_server_would_do_unasked(kind: str) -> None:
    body = translated(kind).body
    own = {
        "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": False},
        "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": False},
        "llama.cpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "ignore_eos": False, "cache_prompt": True},
        "gateway": {"top_k": 0, "repetition_penalty": 1.0, "ignore_eos": False},
        "openai": {},
    }
    body.pop("cache_salt", None)
    if kind in ("vllm", "sglang"):
        assert body["stream_options"].pop("continuous_usage_stats")
    assert body == PLAIN | own[kind] | {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("vllm", {"max_tokens": 5, "default_tokens": 9}, {"max_tokens": 5}),
        ("vllm", {"default_tokens": 9}, {"max_tokens": 9}),
        ("vllm", {"temperature": 1e-9}, {"temperature": 0}),
        ("vllm", {"top_k": 7, "repetition_penalty": 1.2, "ignore_eos": True}, {"top_k": 7, "repetition_penalty": 1.2}),
        ("llama.cpp", {"repetition_penalty": 1.2}, {"repeat_penalty": 1.2, "repeat_last_n": 1000}),
        ("openai", {"frequency_penalty": -1, "presence_penalty": 2}, {"frequency_penalty": -1, "presence_penalty": 2}),
        ("vllm", {"seed": 9_999_999_999}, {"seed": 9_999_999_999}),
        ("llama.cpp", {"seed": (1 << 32) - 1}, {"seed": 0}),
        ("openai", {"n": 3, "stop": ("a", "b")}, {"n": 3, "stop": ["a", "b"]}),
        ("openai", {"logit_bias": {5: -1.5}, "logprobs": 0}, {"logit_bias": {"5": -1.5}, "top_logprobs": 0}),
        ("openai", {"tools": TOOLS, "tool_choice": ToolChoice("auto")}, {"tool_choice": "auto"}),
        ("vllm", {"tools": TOOLS, "tool_choice": ToolChoice("required", "g")}, {"tool_choice": CALLED}),
        (
            "llama.cpp",
            {"tools": TOOLS, "tool_choice": ToolChoice("auto"), "parallel_tool_calls": False},
            {"tool_choice": "auto", "tools": [tool.as_openai() for tool in TOOLS], "parallel_tool_calls": False},
        ),
        (
            "llama.cpp",
            {"tools": TOOLS, "tool_choice": ToolChoice("required", "g"), "think": False},
            {"tools": None, "chat_template_kwargs": {"tools": [TOOLS[1].as_openai()], "enable_thinking": False}},
        ),
        ("vllm", {"tools": TOOLS, "tool_choice": ToolChoice("none")}, {"tools": None, "tool_choice": None}),
        ("vllm", {"n": 2, "temperature": 0}, {"n": 2, "temperature": 1.0, "top_k": 1}),
        ("llama.cpp", {"n": 2, "temperature": 0}, {"n": 2, "temperature": 0, "top_k": 0}),
        ("openai", {"format": OutputFormat(OBJECT)}, {"response_format": {"type": "json_object"}}),
        (
            "openai",
            {"format": OutputFormat(SCHEMA, True)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        ("sglang", {"think": False}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("openai", {"think": False}, {"reasoning_effort": "none", "chat_template_kwargs": None}),
        ("vllm", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ("llama.cpp", {"reasoning_effort": "low"}, {"chat_template_kwargs": {"reasoning_effort": "low"}}),
        ("vllm", {"raw": True, "logprobs": 2}, {"prompt": "Hi", "logprobs": 2}),
        ("llama.cpp", {"raw": True, "format": OutputFormat(SCHEMA, True)}, {"json_schema": SCHEMA}),
        ("vllm", {"lora": "tuned"}, {"model": "tuned"}),
    ],
)
def test_each_wish_becomes_the_servers_field(kind: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    body = translated(kind, **fields).body
    assert {name: body.get(name) for name in expected} == expected


def test_a_forced_call_of_one_tool_or_another_keeps_what_their_schemas_refer_to() -> None:
    tools = [
        Tool.model_validate({"name": name, "parameters": {"$ref": f"#/$defs/{name}", "$defs": {name: {"type": kind}}}})
        for name, kind in (("f", "object"), ("g", "array"))
    ]
    schema = call_schema(tools)
    assert schema["$defs"] == {"f": {"type": "object"}, "g": {"type": "array"}}
    assert [call["properties"]["arguments"] for call in schema["anyOf"]] == [
        {"type": "object", "$ref": "#/$defs/f"},
        {"type": "object", "$ref": "#/$defs/g"},
    ]
    other = Tool.model_validate({"name": "h", "parameters": {"$defs": {"f": {"type": "null"}}}})
    with pytest.raises(BadInput, match=r"'/tools' say different things of '\$defs/f'"):
        call_schema([*tools, other])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"top_k": 5}, "top_k"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"think": True}, "chat_template_kwargs"),
        ({"template_options": {"a": 1}}, "chat_template_kwargs"),
    ],
)
def test_what_a_server_cannot_do_is_refused_and_not_dropped(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(BadInput, match=f"'/{name}' is not supported"):
        translated("openai", **fields)


@pytest.mark.parametrize("name", ["chat_template", "tools", "messages", "tokenize"])
def test_no_template_comes_from_a_request(name: str) -> None:
    with pytest.raises(BadInput, match=f"'/chat_template_kwargs/{name}' is no option of a template"):
        translated("vllm", template_options={"enable_thinking": False, name: "{{ 1 }}"})


def test_a_fine_tune_that_is_not_listed_is_refused() -> None:
    with pytest.raises(LoraUnsupported):
        translated("vllm", lora="other")


def test_raw_messages_are_joined_and_continued() -> None:
    messages = tuple(Message(role="user", content=text) for text in ("one", "two"))
    request = translated("vllm", raw=True, messages=messages)
    assert (request.path, request.body["prompt"]) == ("completions", "one\ntwo")


def test_a_strict_function_is_offered_as_one() -> None:
    strict = Tool.model_validate({"name": "f", "strict": True})
    offered = translated("openai", tools=(strict, TOOLS[1]), tool_choice=ToolChoice("auto")).body["tools"]
    assert [tool["function"].get("strict") for tool in offered] == [True, None]


def test_accounts_share_no_cached_prompts() -> None:
    salts = {translated("vllm", account).body["cache_salt"] for account in ("one", "two", "one")}
    assert len(salts) == 2
    assert not any("one" in salt or "two" in salt for salt in salts)
    translator = Translator(Facts("m", DIALECTS["llama.cpp"]))
    reused = [
        translator.request(Generation(prompt="Hi"), account).body["cache_prompt"]
        for account in ("one", "one", "two", "one")
    ]
    assert reused == [True, True, False, False]


@pytest.mark.parametrize(
    ("kind", "owner", "name"),
    [
        ("auto", "vllm", "vllm"),
        ("auto", "llamacpp", "llama.cpp"),
        ("auto", "sglang", "sglang"),
        ("auto", "someone", "openai"),
        ("vllm", "someone", "vllm"),
    ],
)
def test_a_server_is_known_by_what_it_lists_unless_the_row_says(kind: str, owner: str, name: str) -> None:
    assert dialect_of(kind, owner).name == name


def test_another_gateway_is_known_whoever_made_its_models() -> None:
    assert dialect_of("auto", "vllm", is_gateway=True).name == "gateway"
    assert dialect_of("openai", "vllm", is_gateway=True).name == "openai"


def test_another_gateway_is_asked_in_its_own_fields() -> None:
    request = translated("gateway", raw=True, lora="any", template_options={"a": 1}, think=True)
    own = {"prompt": "Hi", "raw": True, "lora": "any", "model": "m"}
    assert request.path == "chat/completions"
    assert request.body.items() >= (own | {"chat_template_kwargs": {"a": 1, "enable_thinking": True}}).items()
    assert "messages" not in request.body
    turn = Message(role="user", content="Ho")
    body = translated("gateway", raw=True, messages=(turn,)).body
    assert (body["raw"], body["messages"]) == (True, [{"role": "user", "content": "Ho"}])


URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": URL, "command": ["x", "{port}"]}, "set one of url and command"),
        ({"url": "127.0.0.1:1"}, "options.url: .* must be an http or https address"),
        ({"url": "file:///etc/passwd"}, "options.url: .* must be an http or https address"),
        ({"url": "http://user:pass@host/v1"}, "must have no user, query or fragment"),
        ({"command": ["vllm", "serve"]}, "command must say {port}"),
        ({"command": "vllm serve"}, "options.command: Input should be a valid tuple"),
        ({"url": URL, "environment": {"A": "b"}}, "are for a server that command starts"),
        ({"url": URL, "api_key_env": "A", "api_key_file": "b"}, "set one of api_key_file and api_key_env"),
        ({"command": ["x", "{port}", "{key}"], "api_key_env": "A"}, "{key} makes a key"),
        ({"url": URL, "server": "ollama"}, "options.server"),
        ({"url": URL, "backend": "auto"}, "options.backend: Extra inputs"),
        ({"url": URL, "stall_timeout_s": 0}, "options.stall_timeout_s"),
    ],
)
def test_a_row_that_cannot_be_meant_names_its_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(UpstreamOptions, _row(options))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read: No such file"), ("", "holds no key"), ("a\nb", "holds no key")]
)
def test_a_key_file_is_read_and_its_faults_named(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    row = _row({"url": URL, "api_key_file": str(file)})
    with pytest.raises(ConfigError, match=f"options.api_key_file: {message}") as caught:
        read_key(row, read_options(UpstreamOptions, row))
    assert str(tmp_path) not in caught.value.detail
    file.write_text(" k-1 \n")
    assert read_key(row, read_options(UpstreamOptions, row)) == "k-1"


def _row(options: dict[str, Any]) -> ModelSpec:
    return ModelSpec(name="@local/chat", task="text-generation", engine="llm", options=options)
