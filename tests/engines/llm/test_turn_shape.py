"""What a template would refuse or lose is said so that it shows it, and what it shows is left as it is."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engines.llm.template import ChatTemplate
from gateway.engines.llm.template_traits import find_traits
from gateway.engines.llm.turn_shape import Shape, find_shape
from tests.engines.llm import templates
from tests.engines.llm.reading import TOOLS
from tests.engines.llm.test_prompting import WITH_TOOLS, prompt

# Takes one call a turn and no text beside it, as Llama's.
ONE_CALL = """{% for m in messages %}<{{ m.role }}>
{%- if m.tool_calls and m.tool_calls | length > 1 %}{{ raise_exception('One call at once!') }}
{%- elif m.tool_calls %}{{ m.tool_calls[0].function | tojson }}{% else %}{{ m.content }}{% endif %}
{%- endfor %}{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<assistant>{% endif %}"""
USER, LATER = {"role": "user", "content": "first"}, {"role": "user", "content": "second"}
SYSTEM, MORE = {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}
SAID = {"role": "assistant", "content": "I said."}


def calls(*cities: str, **more: Any) -> dict[str, Any]:
    told = [{"id": f"call-{city}", "name": "get_weather", "arguments": {"city": city}} for city in cities]
    return {"role": "assistant", "content": None, "tool_calls": told, **more}


def results(*cities: str) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": f"call-{city}", "content": f"sun in {city}"} for city in cities]


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        (templates.HERMES, Shape(fold_system=True)),
        (templates.CHATML, Shape()),
        (templates.IN_PARTS, Shape()),
        (templates.MISTRAL, Shape(fold_system=True, as_user=True, merge_turns=True)),
        (templates.GEMMA, Shape(fold_system=True, as_user=True, merge_turns=True)),
        (templates.GPT_OSS, Shape(fold_system=True, split_calls=True, split_text=True)),
        (ONE_CALL, Shape(split_calls=True, split_text=True)),
    ],
    ids=["hermes", "chatml", "in-parts", "mistral", "gemma", "gpt-oss", "one-call"],
)
def test_the_shape_of_each_family(source: str, shape: Shape) -> None:
    template = ChatTemplate(source, bos_token="<s>", eos_token="</s>")
    assert find_shape(template, find_traits(template)) == shape


@pytest.mark.parametrize(
    ("source", "turns", "shown"),
    [
        (templates.HERMES, [SYSTEM, USER, MORE], "system\nBe brief.\n\nBe kind.<|im_end|>\n<|im_start|>user\nfirst"),
        (templates.HERMES, [USER, MORE], "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nfirst"),
        (templates.GPT_OSS, [SYSTEM, USER, SAID, MORE, LATER], "developer<|message|>Be brief.\n\nBe kind.<|end|>"),
        (templates.GEMMA, [SYSTEM, USER, MORE], "<start_of_turn>user\nBe brief.\n\nBe kind.\n\nfirst<end_of_turn>"),
        (templates.GEMMA, [SYSTEM], "<start_of_turn>user\nBe brief.<end_of_turn>"),
        (templates.MISTRAL, [USER, LATER], "[INST] first\n\nsecond[/INST]"),
        (templates.MISTRAL, [USER, SAID, SAID, LATER], "[/INST] I said.\n\nI said.</s>[INST] second[/INST]"),
        (templates.CHATML, [USER, LATER], "user\nfirst<|im_end|>\n<|im_start|>user\nsecond"),
        (templates.CHATML, [USER, SYSTEM], "user\nfirst<|im_end|>\n<|im_start|>system\nBe brief."),
    ],
)
def test_turns_that_a_template_would_refuse_or_lose_are_shown(
    source: str, turns: list[dict[str, Any]], shown: str
) -> None:
    assert shown in prompt(source, turns)


BERN, ROME = '<assistant>{"name": "get_weather", "arguments": {"city": "Bern"}}', "Rome"


def test_calls_of_one_turn_are_told_one_after_the_other_each_with_its_result() -> None:
    turns = [USER, calls("Bern", "Rome", content="I look."), *results("Rome", "Bern"), LATER]
    text = prompt(ONE_CALL, turns, **WITH_TOOLS)
    told = [text.index(word) for word in ("I look.", BERN, "sun in Bern", '"Rome"', "sun in Rome", "second")]
    assert told == sorted(told)
    assert text.count("sun in") == 2


def test_a_result_of_no_call_stays_behind_those_that_have_one() -> None:
    turns = [USER, calls("Bern", "Rome"), *results("Oslo", "Rome", "Bern")]
    text = prompt(ONE_CALL, turns, tools=TOOLS)
    told = [text.index(f"sun in {city}") for city in ("Bern", "Rome", "Oslo")]
    assert told == sorted(told)


def test_thoughts_come_before_the_first_of_several_calls() -> None:
    turns = [USER, calls("Bern", "Rome", reasoning_content="hm"), *results("Bern", "Rome")]
    text = prompt(templates.GPT_OSS, turns)
    assert text.count("<|channel|>analysis<|message|>hm<|end|>") == 1
    assert text.count("<|start|>assistant to=functions.get_weather") == 2
