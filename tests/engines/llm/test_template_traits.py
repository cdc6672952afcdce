"""What a template can show is found by rendering it, and the family by what its source is written for."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFReader

from gateway.engines.llm.reasoning import find_reasoning
from gateway.engines.llm.template import ChatTemplate
from gateway.engines.llm.template_traits import Traits, find_traits
from gateway.engines.llm.tool_formats import find_format
from gateway.errors import BadInput
from tests.engines.llm import templates
from tests.engines.llm.test_prompting import prompt


@pytest.mark.parametrize(
    ("source", "traits"),
    [
        (templates.HERMES, Traits(True, True, False, False, False, ("enable_thinking",))),
        (templates.MISTRAL, Traits(True, False, False, False, False, ())),
        (templates.DEEPSEEK, Traits(False, True, False, False, True, ())),
        (templates.GLM, Traits(True, True, False, False, False, ("enable_thinking",))),
        (templates.GPT_OSS, Traits(True, True, True, False, False, ())),
        (templates.CHATML, Traits(False, True, False, False, False, ())),
        (templates.IN_PARTS, Traits(False, True, False, True, False, ())),
        (templates.GEMMA, Traits(False, False, False, False, False, ())),
    ],
    ids=["hermes", "mistral", "deepseek", "glm", "gpt-oss", "chatml", "in-parts", "gemma"],
)
def test_traits_of_the_families(source: str, traits: Traits) -> None:
    assert find_traits(ChatTemplate(source, bos_token="<s>", eos_token="</s>")) == traits


def test_a_template_that_only_speaks_of_developers_does_not_know_their_role() -> None:
    source = (
        "You help developers.{% for m in messages if m.role != 'developer' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    traits = find_traits(ChatTemplate(source))
    assert (traits.system, traits.developer) == (True, False)


USUAL = "message.role in ('system', 'user', 'assistant')"


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        (templates.CHATML, None),
        (templates.IN_PARTS, None),
        (
            templates.CHATML.replace(" in messages %}", f" in messages if {USUAL} %}}"),
            "'/messages/1/role' is none that",
        ),
        (
            templates.GEMMA.replace("{{ bos_token }}", "{{ raise_exception('No narrator') }}"),
            "'/messages': No narrator",
        ),
    ],
    ids=["shown", "shown-in-parts", "passed-over", "refused-by-the-template"],
)
def test_a_role_that_a_template_passes_over_is_refused(source: str, detail: str | None) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "narrator", "content": "It rains."}]
    if detail is None:
        assert "narrator" in prompt(source, turns)
        assert "It rains." in prompt(source, turns)
    else:
        with pytest.raises(BadInput) as refused:
            prompt(source, turns)
        assert detail in refused.value.detail


def test_the_starter_model_is_told_of_tools_in_words(smollm_file: Path) -> None:
    source = GGUFReader(smollm_file).fields["tokenizer.chat_template"].contents()
    traits = find_traits(ChatTemplate(source, bos_token="<|im_start|>", eos_token="<|im_end|>"))
    assert traits == Traits(False, True, False, False, False, ())
    assert (find_format(source), find_reasoning(source)) == (None, None)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>', "hermes"),
        ("<tool_call>\\n<function=example_function_name>\\n<parameter=example_parameter_1>", "qwen-coder"),
        ("{{ '<tool_call>' + tc.name }}<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v }}</arg_value>", "glm"),
        ("<tool_call>{name}<arg_key>{{ k }}</arg_key><arg_value>{{ v }}</arg_value>", "glm-compact"),
        ('{{- "[TOOL_CALLS] [" }}', "mistral"),
        ("{{ '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}", "mistral-tagged"),
        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name\\n```json", "deepseek"),
        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + name + '<｜tool▁sep｜>'", "deepseek-bare"),
        ("<|tool_call_begin|>{{ id }}<|tool_call_argument_begin|>{{ arguments }}<|tool_call_end|>", "kimi"),
        ("'<|tool_call>call:' + function['name'] + '{'", "gemma"),
        (
            'use the following format:\n<TOOLCALL>[{"name": "tool_name1", "arguments": "tool_args1"}]</TOOLCALL>',
            "nemotron",
        ),
        ("write <|tool_call|> followed by a JSON list", "granite"),
        ('Respond in the format {"name": function name, "parameters": dictionary of argument name}', "llama"),
        (
            "in the format of [func_name1(params_name1=params_value1, params_name2=params_value2), func_name2()]",
            "pythonic",
        ),
        ("{{ message.content }}", None),
    ],
)
def test_the_format_is_found_by_the_template(source: str, name: str | None) -> None:
    assert find_format(source) == name
