"""Special tokens have no text but for the markers of a plan, and text around them stays whole."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.engines.llm.backend import Advance
from gateway.engines.llm.choice_stream import ChoiceStream
from gateway.engines.llm.prompting import Plan, Prompter
from gateway.engines.llm.reports import Reporter
from gateway.tasks.generation import Choice
from gateway.tasks.tools import ToolChoice
from tests.engines.llm import templates
from tests.engines.llm.reading import TOOLS, calls_of
from tests.engines.llm.test_prompting import ASKED, ByteTokenizer, ask

SPECIAL = ["[TOOL_CALLS]", "[ARGS]", "[OTHER]"]


def stream(tokenizer: ByteTokenizer, plan: Plan, text: str, sizes: Sequence[int], stop: tuple[str, ...] = ()) -> Choice:
    """The choice that the tokens of `text` come to, so many at each step, with a stop token at the end."""
    tokens = [*tokenizer.encode(text, add_special_tokens=False), *tokenizer.encode("</s>", add_special_tokens=False)]
    reporter = Reporter(tokenizer, lambda token: None)
    choice, running = Choice(0), ChoiceStream(0, 0, tokenizer, reporter, plan, stop)
    at = 0
    for size in [*sizes, len(tokens)]:
        step = tokens[at : at + size]
        at += size
        advance = Advance(step, "stop" if at >= len(tokens) else None)
        piece = running.gain(advance, tokenizer.decode([running.push(advance)])[0])
        if piece is not None:
            choice.add(piece)
        if at >= len(tokens):
            return choice
    return choice


@pytest.mark.parametrize("sizes", [[1] * 200, [], [7] * 30, [13, 1, 1, 40]])
def test_markers_are_read_and_other_special_tokens_are_not_shown(sizes: list[int]) -> None:
    tokenizer = ByteTokenizer(templates.MISTRAL, special=SPECIAL)
    plan = Prompter(tokenizer).plan(ask(ASKED, tools=TOOLS, tool_choice=ToolChoice("auto")))
    text = '日本 [OTHER]😀[TOOL_CALLS]get_weather[ARGS]{"city": "Zürich 😀"}[TOOL_CALLS]now[ARGS]{}'
    choice = stream(tokenizer, plan, text, sizes)
    assert choice.text == "日本 😀"
    assert calls_of(choice) == [("get_weather", {"city": "Zürich 😀"}), ("now", {})]
    assert choice.finish_reason == "tool_calls"


def test_without_tools_no_special_token_is_shown() -> None:
    tokenizer = ByteTokenizer(templates.CHATML, special=SPECIAL)
    choice = stream(tokenizer, Prompter(tokenizer).plan(ask(ASKED)), "a[TOOL_CALLS]b[OTHER]c", [1] * 9)
    assert (choice.text, choice.finish_reason) == ("abc", "stop")


def test_stop_strings_end_the_text_after_a_marker() -> None:
    tokenizer = ByteTokenizer(templates.GPT_OSS, special=["<|channel|>", "<|message|>"])
    plan = Prompter(tokenizer).plan(ask(ASKED))
    choice = stream(tokenizer, plan, "<|channel|>final<|message|>one END two", [1] * 60, stop=("END",))
    assert (choice.text, choice.stop) == ("one ", "END")
