"""Conversations are rendered with the model's template as transformers renders them, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engines.llm import template
from gateway.engines.llm.template import ChatTemplate, Turn
from gateway.engines.llm.template_traits import Traits
from gateway.engines.llm.turns import turns_of
from gateway.errors import BadInput
from gateway.tasks.conversation import Message
from tests import tiny

TRAITS = Traits(tools=False, system=True, developer=False, in_parts=False, text_arguments=False, switches=())


def messages(*turns: tuple[str, Any]) -> list[Turn]:
    return turns_of([Message.model_validate({"role": role, "content": content}) for role, content in turns], TRAITS)


@pytest.mark.parametrize(
    ("turns", "contents"),
    [
        ([("user", "Hi")], ["Hi"]),
        ([("system", "Be brief"), ("user", "Hi"), ("assistant", None), ("user", "So?")], ["Be brief", "Hi", "", "So?"]),
        ([("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])], ["one\ntwo"]),
        ([("user", {"type": "text", "text": "日本 😀"})], ["日本 😀"]),
    ],
)
def test_renders_what_transformers_renders(turns: list[tuple[str, Any]], contents: list[str]) -> None:
    tokenizer = tiny.byte_tokenizer()
    plain = [{"role": turn[0], "content": content} for turn, content in zip(turns, contents, strict=True)]
    expected = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    ours = ChatTemplate(tiny.CHAT_TEMPLATE, bos_token="<s>", eos_token="</s>")
    assert ours.render(messages(*turns)) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}", "a"),
        ("{% generation %}{{ messages[1].content }}{% endgeneration %}", "é"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "é"}]'),
        ("{% if tools is defined %}tools{% else %}none{% endif %}", "none"),
        ("{{ strftime_now('%Y') | length }}", "4"),
    ],
)
def test_knows_what_templates_are_written_for(source: str, expected: str) -> None:
    assert ChatTemplate(source).render(messages(("user", "a"), ("assistant", "é"))) == expected


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        (tiny.CHAT_TEMPLATE, "the model's chat template refuses '/messages': no role tool"),
        ("{{ messages[7].content }}", "the model's chat template cannot render '/messages'"),
        ("{{ messages + 1 }}", "the model's chat template cannot render '/messages'"),
        ("{{ ''.__class__.__mro__ }}", "the model's chat template cannot render '/messages'"),
        ("{{ messages.append(1) }}", "the model's chat template cannot render '/messages'"),
    ],
)
def test_a_template_that_fails_names_the_messages(source: str, detail: str) -> None:
    with pytest.raises(BadInput) as caught:
        ChatTemplate(source, bos_token="", eos_token="").render(messages(("tool", "x")))
    assert caught.value.detail == detail


@pytest.mark.parametrize(("bound", "value"), [("MAX_PROMPT_CHARACTERS", 1000), ("RENDER_LIMIT_S", 0.05)])
def test_a_template_that_goes_on_is_stopped(bound: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, bound, value)
    endless = ChatTemplate("{% for i in range(90000) %}{% for j in range(90000) %}x{{ j }}{% endfor %}{% endfor %}")
    with pytest.raises(BadInput, match="'/messages' takes the model's chat template too long"):
        endless.render(messages(("user", "a")))


@pytest.mark.parametrize(
    "source", ["{{ 'a' * 10 ** 9 }}", "{{ [1] * 99999999 }}", "{{ 9 ** 99999 }}", "{{ 2 ** 1e9 }}"]
)
def test_a_template_cannot_grow_without_bounds_in_one_chunk(source: str) -> None:
    with pytest.raises(BadInput, match="cannot render '/messages'"):
        ChatTemplate(source).render(messages(("user", "a")))


@pytest.mark.parametrize(
    ("source", "expected"), [("{{ '-' * 3 }}", "---"), ("{{ 2 * 3.5 }}", "7.0"), ("{{ 2 ** 5 }}", "32")]
)
def test_small_products_are_what_they_are(source: str, expected: str) -> None:
    assert ChatTemplate(source).render(messages(("user", "a"))) == expected
