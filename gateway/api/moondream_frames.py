"""The frames of a stream in Moondream's form, as the live service sends them; knows no engine and no connection."""

from __future__ import annotations

from typing import Any

from gateway.api.envelope import error_body
from gateway.api.frames import DONE, frame, tail_frame
from gateway.errors import GatewayError
from gateway.tasks import Origin, Piece, Usage
from gateway.tasks.generation import Choice
from gateway.tasks.moondream import MoondreamInput
from gateway.tasks.moondream_answer import MoondreamOutput

# By which part a text must have grown to be told again: then a stream's bytes grow with its text, not with the square.
NOTICEABLE = 32


class MoondreamFrames:
    """What is known of the run, each time all of the text until now, and at the end the answer that is not streamed."""

    def __init__(self, input: MoondreamInput, origin: Origin) -> None:
        self._input = input
        self._id = origin.request_id
        self._choice = Choice(0)
        self._is_open = self._counts_prompt = False
        self._told_characters = 0
        self._chunks = 0

    def write(self, piece: Piece) -> bytes:
        """The events of a piece, with what comes before the first and after the last."""
        self._choice.add(piece)
        frames = b"" if self._is_open else self._opening()
        if piece.usage is not None and not self._counts_prompt:
            frames += self._prompt(piece.usage)
        if piece.is_last:
            return frames + self._closing(piece.usage or Usage())
        grown = len(self._choice.text) - self._told_characters
        if not grown or grown * NOTICEABLE < self._told_characters:
            return frames
        self._told_characters += grown
        return frames + self._chunk(MoondreamOutput.so_far(self._choice.text, self._input.said))

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error envelope."""
        return b"data: %b\n\n" % error_body(error, request_id)

    def _opening(self) -> bytes:
        self._is_open = True
        return _event({"id": self._id, "status": "processing"}) + _replace("task", self._input.task)

    def _prompt(self, usage: Usage) -> bytes:
        self._counts_prompt = True
        return _replace("input_tokens", usage.prompt_tokens, Usage(usage.prompt_tokens))

    def _chunk(self, output: MoondreamOutput) -> bytes:
        event = _event({"chunk": output.model_dump(exclude={"usage"}), "index": self._chunks})
        self._chunks += 1
        return event

    def _closing(self, usage: Usage) -> bytes:
        whole = MoondreamOutput.of(self._choice, usage, self._input.said, reasons=self._input.reasons)
        metrics = {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "predict_time": round(usage.prefill_s + usage.decode_s, 6),
            "task": self._input.task,
        }
        answer = whole.model_dump(exclude={"usage"})
        end = {"id": self._id, "logs": "", "metrics": metrics, "output": [answer], "status": "succeeded"}
        counts = _replace("output_tokens", usage.completion_tokens, usage)
        return self._chunk(whole) + counts + _event(end) + tail_frame(usage) + DONE


def _event(document: dict[str, Any], usage: Usage | None = None) -> bytes:
    """One event, with what it counts; the neurons are told in the last of all."""
    return frame({**document, "usage": (usage or Usage()).as_dict(with_neurons=False)})


def _replace(name: str, value: Any, usage: Usage | None = None) -> bytes:
    return _event({"mode": "replace", "name": name, "value": value}, usage)
