"""Conversations with tools, reasoning and options become prompts as each family's template wants them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gateway.config import ConfigError
from gateway.engines.llm.context import STEP_CHARACTERS
from gateway.engines.llm.options import Options
from gateway.engines.llm.prompting import Prompter
from gateway.errors import BadInput, ContextExceeded
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation
from gateway.tasks.output_format import OutputFormat
from gateway.tasks.tools import ToolChoice
from tests import tiny
from tests.engines.llm import templates
from tests.engines.llm.reading import TOOLS, calls_of, read

CALL = {"id": "chatcmpl-tool-1", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}}
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Bern?"}]
HISTORY: list[dict[str, Any]] = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "chatcmpl-tool-1", "content": "sunny"},
]
WITH_TOOLS: dict[str, Any] = {"tools": TOOLS, "tool_choice": ToolChoice("auto")}


class ByteTokenizer:
    """The ids are the bytes of the text after a few special tokens, so that a prompt can be read back."""

    def __init__(
        self,
        template: str | None,
        *,
        tool_template: str | None = None,
        response_template: Mapping[str, Any] | None = None,
        special: Sequence[str] = (),
    ) -> None:
        self.template, self.tool_template, self.response_template = template, tool_template, response_template
        self.bos_token, self.eos_token = "<s>", "</s>"
        self._tokenizer = tiny.byte_tokenizer()
        self._tokenizer.add_special_tokens({"extra_special_tokens": list(special)}, replace_extra_special_tokens=False)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return ids

    def decode(self, rows: Sequence[Sequence[int]], *, special: bool = False) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode([list(row) for row in rows], skip_special_tokens=not special)
        return texts


def ask(turns: Sequence[dict[str, Any]], **fields: Any) -> Generation:
    return Generation(messages=tuple(map(Message.model_validate, turns)), **fields)


def prompt(template: str, turns: Sequence[dict[str, Any]], **fields: Any) -> str:
    tokenizer = ByteTokenizer(template)
    return tokenizer.decode([Prompter(tokenizer).plan(ask(turns, **fields)).prompt.tokens], special=True)[0]


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (templates.HERMES, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_call>'),
        (templates.MISTRAL, '{"name": "get_weather", "arguments": {"city": "Bern"}}'),
        (templates.DEEPSEEK, '<tool_call>\n{"name":"get_weather","arguments":{"city":"Bern"}}\n</tool_call>'),
        (templates.GLM, "<arg_key>city</arg_key>\n<arg_value>Bern</arg_value>"),
        (templates.GPT_OSS, 'to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Bern"}<|call|>'),
        (templates.CHATML, '<tool_call>\n{"name":"get_weather","arguments":{"city":"Bern"}}\n</tool_call>'),
        (templates.GEMMA, '<tool_call>\n{"name":"get_weather","arguments":{"city":"Bern"}}\n</tool_call>'),
    ],
    ids=["hermes", "mistral", "deepseek", "glm", "gpt-oss", "chatml", "gemma"],
)
def test_each_family_is_shown_calls_and_results_its_own_way(template: str, shown: str) -> None:
    text = prompt(template, HISTORY, **WITH_TOOLS)
    assert shown in text
    assert "sunny" in text
    assert '"city"' in prompt(template, ASKED, **WITH_TOOLS), "the tools are in the prompt"
    assert "get_weather" not in prompt(template, ASKED, tools=TOOLS, tool_choice=ToolChoice("none"))


def test_templates_with_text_arguments_get_text() -> None:
    shows_tools = templates.DEEPSEEK.replace("{{ bos_token }}", "{{ bos_token }}{{ tools | tojson if tools else '' }}")
    assert '<｜tool▁sep｜>get_weather\n```json\n{"city":"Bern"}```' in prompt(shows_tools, HISTORY, **WITH_TOOLS)


def test_ids_have_the_form_that_mistral_insists_on_and_still_match() -> None:
    text = prompt(templates.MISTRAL, HISTORY, **WITH_TOOLS)
    id = text.split('{"city": "Bern"}} ')[1][:9]
    assert f"[TOOL_RESULTS] {id} sunny" in text


def test_ids_tell_kimi_which_function_was_called() -> None:
    again = {**CALL, "id": "chatcmpl-tool-2"}
    turns = [*HISTORY, {"role": "assistant", "tool_calls": [again]}, {"role": "tool", "content": "rain"}]
    text = prompt(templates.KIMI, turns, **WITH_TOOLS)
    for index, weather in enumerate(("sunny", "rain")):
        assert f"<|tool_call_begin|>functions.get_weather:{index}<|tool_call_argument_begin|>" in text
        assert f"## Return of functions.get_weather:{index}\n{weather}" in text
    assert "chatcmpl-tool" not in text


def test_results_without_ids_and_names_are_matched_in_order() -> None:
    turns = [
        *ASKED,
        {"role": "assistant", "tool_calls": [{"name": "get_weather", "arguments": {}}]},
        {"role": "tool", "content": "sunny"},
    ]
    assert "<|start|>functions.get_weather to=assistant<|message|>sunny" in prompt(templates.GPT_OSS, turns)


def test_tools_of_a_template_without_system_role_are_told_by_the_user() -> None:
    text = prompt(templates.GEMMA, ASKED, **WITH_TOOLS)
    assert text.startswith("<s><start_of_turn>user\nYou can call functions")
    assert text.index("</tools>") < text.index("Weather in Bern?")


def test_content_is_in_parts_where_the_template_wants_parts() -> None:
    text = prompt(templates.IN_PARTS, HISTORY, **WITH_TOOLS)
    assert text.startswith("<system>You can call functions")
    assert text.endswith("<user><tool_response>\nsunny\n</tool_response>;<assistant>")
    assert "<user>Weather in Bern?;<assistant>" in text


def test_a_second_template_is_for_conversations_with_tools() -> None:
    tokenizer = ByteTokenizer(templates.CHATML, tool_template=templates.HERMES)
    prompter = Prompter(tokenizer)
    plain, called = (
        tokenizer.decode([prompter.plan(request).prompt.tokens], special=True)[0]
        for request in (ask([{"role": "tutor", "content": "Hi"}]), ask(ASKED, **WITH_TOOLS))
    )
    assert plain.startswith("<|im_start|>tutor\nHi")
    assert called.startswith("<|im_start|>system\n<tools>{")


@pytest.mark.parametrize(
    ("template", "fields", "end"),
    [
        (templates.HERMES, {}, "<|im_start|>assistant\n"),
        (templates.HERMES, {"think": False}, "<think>\n\n</think>\n\n"),
        (templates.HERMES, {"template_options": {"enable_thinking": False}}, "<think>\n\n</think>\n\n"),
        (templates.HERMES, {"reasoning_effort": "none"}, "<think>\n\n</think>\n\n"),
        (templates.GLM, {"think": False}, "<think></think>"),
        (templates.GPT_OSS, {"reasoning_effort": "high"}, "<|end|><|start|>assistant"),
    ],
)
def test_thinking_is_switched_as_the_template_has_it(template: str, fields: dict[str, Any], end: str) -> None:
    text = prompt(template, ASKED, **fields)
    assert text.endswith(end)
    assert "Reasoning: high" in text or "reasoning_effort" not in fields or template != templates.GPT_OSS


@pytest.mark.parametrize(("template", "role"), [(templates.CHATML, "system"), (templates.GPT_OSS, "developer")])
def test_developers_speak_as_the_system_where_the_template_knows_no_other(template: str, role: str) -> None:
    assert f"{role}\nBe brief" in prompt(template, [{"role": "developer", "content": "Be brief"}, *ASKED]).replace(
        "<|message|>", "\n"
    )


@pytest.mark.parametrize(
    ("template", "turns", "fields", "detail"),
    [
        (templates.MISTRAL, [{"role": "assistant", "content": "x"}, *ASKED], {}, "'/messages': Roles must alternate!"),
        (
            templates.CHATML,
            [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,eA=="}]}],
            {},
            "'/messages/0/content/0/image_url/url': this model does not take pictures",
        ),
        (
            templates.CHATML,
            ASKED,
            {"raw": True, "tools": TOOLS, "tool_choice": ToolChoice("required")},
            "'/tool_choice' cannot be kept: '/raw' is true",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    template: str, turns: list[dict[str, Any]], fields: dict[str, Any], detail: str
) -> None:
    with pytest.raises(BadInput) as caught:
        prompt(template, turns, **fields)
    assert detail in caught.value.detail


def test_options_cannot_replace_what_the_gateway_says() -> None:
    text = prompt(templates.CHATML, ASKED, template_options={"add_generation_prompt": False, "messages": "x"})
    assert text.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("in_prompt", [True, False])
def test_the_schema_is_told_where_the_row_wants_it(in_prompt: bool) -> None:
    tokenizer = ByteTokenizer(templates.CHATML)
    request = ask(ASKED, format=OutputFormat({"type": "object", "title": "Weather"}, named=True))
    plan = Prompter(tokenizer, Options(schema_in_prompt=in_prompt)).plan(request)
    assert ('"title":"Weather"' in tokenizer.decode([plan.prompt.tokens])[0]) is in_prompt


def test_special_tokens_that_are_markers_are_known_by_their_ids() -> None:
    tokenizer = ByteTokenizer(templates.MISTRAL, special=["[TOOL_CALLS]", "[ARGS]"])
    plan = Prompter(tokenizer).plan(ask(ASKED, tools=TOOLS, tool_choice=ToolChoice("required")))
    (id,) = tokenizer.encode("[TOOL_CALLS]", add_special_tokens=False)
    assert plan.markers[id] == "[TOOL_CALLS]"
    assert plan.prompt.tokens[-1] == id, "a call that is forced is begun with its token"
    choice = read(plan.reader(), ' [{"name": "now", "arguments": {}}]')
    assert calls_of(choice) == [("now", {})]


RESPONSE_TEMPLATE = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<r>", "close": "</r>", "content": "text"},
        "tool_calls": {
            "open": "<call>",
            "close": "</call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"content": "text"},
    },
}


@pytest.mark.parametrize("sizes", [(), (1,) * 80, (3, 5, 7)])
def test_the_form_that_a_tokenizer_declares_is_read(sizes: tuple[int, ...]) -> None:
    shows_tools = templates.CHATML + "{{ tools | tojson if tools else '' }}"
    prompter = Prompter(ByteTokenizer(shows_tools, response_template=RESPONSE_TEMPLATE))
    text = '<r>Hm</r>\n\nWait.\n<call>{"name": "now", "arguments": {"a": 1}}</call><call>oops</call>'
    choice = read(prompter.plan(ask(ASKED, **WITH_TOOLS)).reader(), text, sizes)
    assert (choice.reasoning, choice.text, choice.finish_reason) == ("Hm", "Wait.\noops", "tool_calls")
    assert calls_of(choice) == [("now", {"a": 1})]
    with pytest.raises(BadInput, match="'/tool_choice' must be 'auto' or 'none' for this model"):
        prompter.plan(ask(ASKED, tools=TOOLS, tool_choice=ToolChoice("required")))
    with pytest.raises(BadInput, match="'/tool_choice' must be 'none' beside '/response_format'"):
        prompter.plan(ask(ASKED, **WITH_TOOLS, format=OutputFormat({"type": "object"})))


def test_a_row_can_name_the_forms() -> None:
    options = Options(tool_format="llama", reasoning_format="think")
    reader = Prompter(ByteTokenizer(templates.CHATML), options).plan(ask(ASKED, **WITH_TOOLS)).reader()
    choice = read(reader, '<think>Hm</think>\n\n{"name": "now", "parameters": {}}')
    assert (choice.reasoning, calls_of(choice)) == ("Hm", [("now", {})])
    with pytest.raises(ConfigError, match=r"options\.tool_format: the tokenizer of these weights declares no"):
        Prompter(ByteTokenizer(templates.CHATML), Options(tool_format="declared"))


@pytest.mark.parametrize(
    ("template", "sources", "spoken"),
    [
        (templates.HERMES, "<think>Hm</think>\n\nHi", ("Hm", "Hi")),
        (templates.DEEPSEEK, "Hm</think>\n\nHi", ("Hm", "Hi")),
        (templates.GPT_OSS, "<|channel|>analysis<|message|>Hm<|end|><|channel|>final<|message|>Hi", ("Hm", "Hi")),
        (templates.CHATML, "<think>Hm</think>Hi", ("", "<think>Hm</think>Hi")),
    ],
)
def test_reasoning_is_found_by_the_template(template: str, sources: str, spoken: tuple[str, str]) -> None:
    choice = read(Prompter(ByteTokenizer(template)).plan(ask(ASKED)).reader(), sources)
    assert (choice.reasoning, choice.text) == spoken


def test_tools_are_shown_in_the_form_of_openai() -> None:
    shown = prompt(templates.MISTRAL, ASKED, **WITH_TOOLS)
    listed = json.loads(shown.split("[AVAILABLE_TOOLS] ")[1].split("[/AVAILABLE_TOOLS]")[0])
    assert listed == [tool.as_openai() for tool in TOOLS]


@pytest.mark.parametrize(("window", "characters"), [(100, 40_000), (70_000, 10_000_000)])
def test_a_prompt_far_beyond_the_window_is_refused_before_all_of_it_is_tokenized(window: int, characters: int) -> None:
    tokenizer = Counting(None)
    with pytest.raises(ContextExceeded, match=rf"context window limit \({window}\)"):
        Prompter(tokenizer, window=window).plan(Generation(prompt="a" * characters))
    assert tokenizer.seen < window + 2 * STEP_CHARACTERS


def test_a_long_prompt_within_the_window_is_tokenized_as_a_whole() -> None:
    tokenizer = Counting(None)
    plan = Prompter(tokenizer, window=90_000).plan(Generation(prompt="a" * 89_000))
    assert plan.prompt.tokens == Prompter(tokenizer).plan(Generation(prompt="a" * 89_000)).prompt.tokens


class Counting(ByteTokenizer):
    """Knows how many characters it was given."""

    seen = 0

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        self.seen += len(text)
        return super().encode(text, add_special_tokens=add_special_tokens)
