"""Chat completions for the families that take the native request and answer in OpenAI's form (docs/tasks/chat.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.tasks.chat_answer import choice_object, head
from gateway.tasks.chat_objects import ChatCompletion, TextCompletion
from gateway.tasks.generation import Choice, gather
from gateway.tasks.pieces import Piece
from gateway.tasks.text_generation import TASK, TextGenerationInput


class NativeChatInput(TextGenerationInput):
    """The native request; what it is answered with depends on which of `prompt` and `messages` counts."""

    @property
    def is_completion(self) -> bool:
        """Whether a plain prompt is continued. Calls have no place in a text, so a prompt with tools is a chat."""
        return self.messages is None and not self.tools


def _text_choice(choice: Choice) -> dict[str, Any]:
    known: dict[str, Any] = {"index": choice.index, "text": choice.text, "finish_reason": choice.finish_reason}
    if choice.reasoning:
        known["reasoning_content"] = choice.reasoning
    return known | {"stop_reason": choice.stop, "logprobs": None, "prompt_logprobs": None}


def collect(pieces: Sequence[Piece], input: NativeChatInput) -> dict[str, Any]:
    """The pieces of one stream as a `TextCompletion` or a `ChatCompletion`."""
    generated = gather(pieces)
    usage = generated.usage.as_dict()
    if input.is_completion:
        texts = [_text_choice(choice) for choice in generated.choices]
        return {**head(input.origin, "text_completion"), "choices": texts, "usage": usage}
    choices = [{**choice_object(choice), "stop_reason": choice.stop} for choice in generated.choices]
    return {**head(input.origin, "chat.completion"), "choices": choices, "usage": usage, "prompt_logprobs": None}


NATIVE_CHAT = replace(
    TASK,
    input=NativeChatInput,
    output=ChatCompletion | TextCompletion,
    shape="chat-completion-native",
    render=lambda output: output,
    collect=collect,
)
