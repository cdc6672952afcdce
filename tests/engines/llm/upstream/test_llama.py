"""llama.cpp's own server, started by a row's command, answers as the local backends do."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engines.llm import Engine
from gateway.errors import BadInput, ContextExceeded, GatewayError
from gateway.tasks.custom_tool import CustomTool
from gateway.tasks.output_format import OutputFormat
from gateway.tasks.pieces import RatedToken
from gateway.tasks.tools import Tool, ToolChoice, as_function
from tests.engines.llm.upstream.asking import Asked, ask, load, pieces

SERVERS = Path(__file__).parents[3] / "fixtures" / "servers"
SLOTS = 2
WEATHER = Tool.model_validate(
    {
        "name": "get_weather",
        "description": "Weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
)
STORY: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell me a story"}], "temperature": 0}


@pytest.fixture(scope="module")
def engine(smollm_file: Path) -> Iterator[Engine]:
    command = [sys.executable, str(SERVERS / "llama.py"), "{files}", "{port}", str(SLOTS), str(SERVERS / "tools.jinja")]
    source = f"file:{smollm_file}"
    engine = load(
        {"command": command, "environment": {"LLAMA_API_KEY": "{key}"}}, smollm_file, source=source, max_streams=8
    )
    yield engine
    engine.close()


def test_it_says_what_it_is(engine: Engine) -> None:
    assert engine.description.startswith("upstream llama.cpp at 127.0.0.1:")
    assert engine.description.endswith(f"({Path(engine.files).name}, window 1024)")


def test_a_chat_streams_and_counts_its_tokens(engine: Engine) -> None:
    found = pieces(engine, Asked(**STORY, max_tokens=8))
    assert len(found) > 2
    last = found[-1]
    assert (last.finish_reason, last.usage and last.usage.completion_tokens) == ("length", 8)
    assert last.usage is not None
    assert last.usage.prompt_tokens > 8


def test_raw_text_is_continued(engine: Engine) -> None:
    told = ask(engine, prompt="one, two, three, four,", raw=True, max_tokens=3, temperature=0)
    assert "five" in told.choices[0].text
    assert told.usage.completion_tokens == 3


def test_a_seed_repeats_and_none_differs(engine: Engine) -> None:
    settings = {**STORY, "temperature": 1.5, "max_tokens": 8}
    texts = [ask(engine, **settings, seed=9_999_999_999).choices[0].text for _ in range(2)]
    assert texts[0] == texts[1]
    assert len({ask(engine, **settings).choices[0].text for _ in range(3)}) > 1


def test_several_choices_end_once_and_count_together(engine: Engine) -> None:
    told = ask(engine, **{**STORY, "temperature": 1.5}, n=2, max_tokens=6)
    assert [choice.finish_reason for choice in told.choices] == ["length", "length"]
    assert told.usage.completion_tokens == 12


def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    whole = ask(engine, **STORY, max_tokens=12).choices[0].text
    stop = whole.split()[3]
    told = ask(engine, **STORY, max_tokens=12, stop=(stop,)).choices[0]
    assert (told.finish_reason, told.text) == ("stop", whole[: whole.index(stop)])


@pytest.mark.parametrize("raw", [False, True])
def test_log_probabilities_come_with_rivals(engine: Engine, raw: bool) -> None:
    (choice,) = ask(engine, prompt="one, two,", raw=raw, max_tokens=3, temperature=0, logprobs=2).choices
    assert "".join(report.token for report in choice.logprobs) == choice.text
    for report in choice.logprobs:
        assert report.logprob <= 0
        assert report.top[0] == RatedToken(report.token, report.logprob)
        assert len(report.top) == 2


def test_a_bias_forbids_a_token(engine: Engine) -> None:
    first = ask(engine, prompt="one, two,", raw=True, max_tokens=1, temperature=0).choices[0].text
    biased = ask(engine, prompt="one, two,", raw=True, max_tokens=1, temperature=0, logit_bias={1296: -100.0})
    assert first == " three"
    assert biased.choices[0].text != first


@pytest.mark.parametrize("raw", [False, True])
def test_a_schema_holds(engine: Engine, raw: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"size": {"enum": ["small", "large"]}},
        "required": ["size"],
        "additionalProperties": False,
    }
    told = ask(engine, prompt="How big?", raw=raw, temperature=0, max_tokens=40, format=OutputFormat(schema, True))
    assert json.loads(told.choices[0].text)["size"] in ("small", "large")


def test_tools_are_called_and_their_answers_sent_back(engine: Engine) -> None:
    messages: list[dict[str, Any]] = []
    for city in ("Rome", "Oslo", "Lima"):
        call = {"name": "get_weather", "arguments": {"city": city}}
        messages += [
            {"role": "user", "content": f"Weather in {city}?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "sunny"},
        ]
    messages.append({"role": "user", "content": "Weather in Tokyo?"})
    auto = {"tools": (WEATHER,), "tool_choice": ToolChoice("auto"), "temperature": 0, "max_tokens": 60}
    (choice,) = ask(engine, messages=messages, **auto).choices
    assert choice.finish_reason == "tool_calls"
    assert [(call.name, json.loads(call.arguments)) for call in choice.tool_calls] == [
        ("get_weather", {"city": "Tokyo"})
    ]
    assert choice.tool_calls[0].id


@pytest.mark.parametrize("name", [None, "get_weather"])
def test_a_forced_tool_is_called_whatever_the_model_would_rather_say(engine: Engine, name: str | None) -> None:
    forced = {"tools": (WEATHER,), "tool_choice": ToolChoice("required", name), "temperature": 0}
    (choice,) = ask(engine, prompt="Tell me a story", max_tokens=80, **forced).choices
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")
    (call,) = choice.tool_calls
    assert (call.name, list(json.loads(call.arguments))) == ("get_weather", ["city"])
    (cut,) = ask(engine, prompt="Tell me a story", max_tokens=3, **forced).choices
    assert (cut.text, cut.tool_calls, cut.finish_reason) == ("", [], "length")


def test_a_forced_custom_tool_keeps_to_its_regex(engine: Engine) -> None:
    grammar = {"syntax": "regex", "definition": '"[0-9]{2,4}"|no'}
    dial = CustomTool.model_validate({"type": "custom", "name": "dial", "format": {"type": "grammar", **grammar}})
    forced = {"tools": (as_function(dial),), "tool_choice": ToolChoice("required", "dial"), "temperature": 0}
    (choice,) = ask(engine, prompt="Tell me a story", max_tokens=80, **forced).choices
    (call,) = choice.tool_calls
    assert re.fullmatch(grammar["definition"], json.loads(call.arguments)["input"])


def test_a_prompt_beyond_the_window_is_refused_with_the_numbers(engine: Engine) -> None:
    with pytest.raises(ContextExceeded, match=r"\(2\d{3}\) exceeded this model context window limit \(1024\)"):
        ask(engine, prompt="word " * 2000, max_tokens=8)
    with pytest.raises(ContextExceeded, match=r"\(1025\) exceeded this model context window limit \(1024\)"):
        ask(engine, prompt="Hi", max_tokens=1024)


def test_what_the_server_refuses_names_our_field(engine: Engine) -> None:
    with pytest.raises(BadInput, match=r"'/n' was refused by the server behind this model: .*1 <= value <= 2"):
        ask(engine, prompt="Hi", n=5)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(BadInput, match="'/messages' has a picture, and this model does not see"):
        ask(engine, messages=[{"role": "user", "content": [picture]}])


def test_a_prompt_is_not_found_again_by_another_account(engine: Engine, smollm_file: Path) -> None:
    prompt = {"prompt": "the quick brown fox jumps over the lazy dog " * 3, "raw": True, "max_tokens": 1}
    ask(engine, "one", **prompt)
    assert ask(engine, "two", **prompt).usage.cached_tokens == 0


def test_a_dropped_stream_frees_its_slot(engine: Engine) -> None:
    """The slots are few and these answers long: the last of them would not come before the test's time is up."""
    ids = itertools.count(100)
    for _ in range(4 * SLOTS):
        id = next(ids)
        engine.admit(id, Asked(**STORY, max_tokens=900, ignore_eos=True))
        while not (news := engine.step()):
            pass
        assert not isinstance(news[0][1], GatewayError)
        engine.drop(id)
    assert ask(engine, **STORY, max_tokens=2).usage.completion_tokens == 2
