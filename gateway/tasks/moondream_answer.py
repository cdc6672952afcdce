"""An answer in Moondream's form, whole or as far as it has come; knows no request and no engine."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.tasks.generation import Choice
from gateway.tasks.pieces import Counted, Piece, Usage
from gateway.tasks.places import Point, Region

Said = Literal["answer", "caption"]


class Metrics(BaseModel):
    """Token counts, and times since the model's process took the request, in milliseconds."""

    input_tokens: int
    output_tokens: int
    prefill_time_ms: float
    decode_time_ms: float
    ttft_ms: float

    @classmethod
    def of(cls, usage: Usage) -> Metrics:
        """What an engine has counted."""
        prefill_ms = round(usage.prefill_s * 1000, 3)
        return cls(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            prefill_time_ms=prefill_ms,
            decode_time_ms=round(usage.decode_s * 1000, 3),
            ttft_ms=prefill_ms,
        )


class Reasoning(BaseModel):
    """What the model thought before its answer; it points at no places."""

    text: str
    grounding: list[dict[str, Any]] = Field(default_factory=list)


class MoondreamOutput(BaseModel):
    """`answer` to a query, with `reasoning` if it was wanted and there is some; `caption`; `points`; or `objects`.

    What does not belong to the skill is null; an answer that is not whole has no reason to end.
    """

    finish_reason: str
    metrics: Metrics
    answer: str | None = None
    caption: str | None = None
    points: list[Point] | None = None
    objects: list[Region] | None = None
    reasoning: Reasoning | None = None
    usage: Counted | None = None

    @classmethod
    def of(cls, choice: Choice, usage: Usage, said: Said, *, reasons: bool) -> MoondreamOutput:
        """The whole answer, in which the text is what was `said`; the reasoning if the caller `reasons`."""
        thought = Reasoning(text=choice.reasoning) if reasons and choice.reasoning else None
        whole = cls.so_far(choice.text, said)
        return whole.model_copy(
            update={
                "finish_reason": choice.finish_reason,
                "metrics": Metrics.of(usage),
                "reasoning": thought,
                "usage": usage,
            }
        )

    @classmethod
    def of_places(cls, piece: Piece, *, as_points: bool) -> MoondreamOutput:
        """The places that an engine has found, which it tells in one piece."""
        regions = [Region.model_validate(place) for place in piece.extra["places"]]
        return cls(
            finish_reason=piece.finish_reason or "stop",
            metrics=Metrics.of(piece.usage or Usage()),
            points=[region.centre() for region in regions] if as_points else None,
            objects=None if as_points else regions,
            usage=piece.usage,
        )

    @classmethod
    def so_far(cls, text: str, said: Said) -> MoondreamOutput:
        """The beginning of an answer."""
        return cls.model_validate({"finish_reason": "", "metrics": Metrics.of(Usage()), said: text})
