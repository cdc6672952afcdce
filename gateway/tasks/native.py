"""What requests of Cloudflare's own families share: a prompt or messages, and how the tokens are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from gateway.tasks.conversation import Messages
from gateway.tasks.generation import Generation, GenerationInput
from gateway.tasks.validation import Boolean, Integer, Number, Text

DEFAULT_TOKENS = 256
Penalty = Annotated[Number, Field(ge=-2, le=2)]


class NativeInput(GenerationInput):
    """A request whose `max_tokens` has a default: unlike a number that was named, it gives way to the window."""

    max_tokens: Annotated[Integer, Field(ge=1)] = DEFAULT_TOKENS
    temperature: Annotated[Number, Field(ge=0, le=5)] = 0.6

    def generation(self) -> Generation:
        """What it asks for, as far as it is known here."""
        named = "max_tokens" in self.model_fields_set
        return Generation(
            max_tokens=self.max_tokens if named else None,
            default_tokens=None if named else self.max_tokens,
            temperature=self.temperature,
        )


class SampledInput(NativeInput):
    """If there are messages, they count. `top_p` and penalties of 0, which the contract lets clients send, are none."""

    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Messages | None = None
    raw: Boolean = False
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[Integer, Field(ge=0, le=1000)] | None = None
    seed: Annotated[Integer, Field(ge=0, le=9_999_999_999)] | None = None
    repetition_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None

    def generation(self) -> Generation:
        """What it asks for, as far as it is known here."""
        return replace(
            super().generation(),
            messages=tuple(self.messages or ()),
            prompt=self.prompt or "",
            raw=self.raw,
            top_p=self.top_p or 1.0,
            top_k=self.top_k or 0,
            seed=self.seed,
            repetition_penalty=self.repetition_penalty or 1.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
        )
