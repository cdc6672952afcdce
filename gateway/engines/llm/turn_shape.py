"""Says a conversation in the shape that a chat template can show; knows no request and renders only to find out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gateway.engines.llm.template import ChatTemplate, Turn
from gateway.engines.llm.template_traits import Traits
from gateway.engines.llm.turns import joined, text_of, with_system

# Words that no template has of its own.
_ONE, _OTHER = "gatewayprobe", "gatewaysecond"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a template refuses or loses, and can show in other words.

    `fold_system`: system messages behind the first, or all of them where it has no role for them. `as_user`: a system
    message that is alone. `merge_turns`: turns of one role in a row. `split_calls`: several calls of one turn.
    `split_text`: the text beside calls.
    """

    fold_system: bool = False
    as_user: bool = False
    merge_turns: bool = False
    split_calls: bool = False
    split_text: bool = False

    def shaped(self, turns: Sequence[Turn], traits: Traits) -> list[Turn]:
        """The same conversation in turns that the template shows."""
        found = _folded(turns, traits) if self.fold_system else list(turns)
        if self.as_user and not any(turn["role"] == "user" for turn in found):
            found = [{**turn, "role": "user"} if _instructs(turn) else turn for turn in found]
        if self.split_calls or self.split_text:
            found = list(self._split(found))
        return _merged(found) if self.merge_turns else found

    def _split(self, turns: Sequence[Turn]) -> Iterator[Turn]:
        at = 0
        while at < len(turns):
            turn, at = turns[at], at + 1
            first = at
            while turn.get("tool_calls") and at < len(turns) and turns[at]["role"] == "tool":
                at += 1
            yield from self._spread(turn, turns[first:at]) if turn.get("tool_calls") else (turn,)

    def _spread(self, turn: Turn, results: Sequence[Turn]) -> Iterator[Turn]:
        """A turn with calls and the results that follow it; each call with its own."""
        if self.split_text and turn["content"]:
            yield {"role": turn["role"], "content": turn["content"]}
            turn = {**turn, "content": ""}
        if not self.split_calls:
            yield turn
            yield from results
            return
        waiting: dict[str, list[Turn]] = {}
        for result in results:
            waiting.setdefault(result["tool_call_id"], []).append(result)
        for call in turn["tool_calls"]:
            yield {**turn, "tool_calls": [call]}
            yield from waiting.pop(call["id"], ())
            turn = {"role": turn["role"], "content": ""}
        yield from (result for result in results if result["tool_call_id"] in waiting)


def find_shape(template: ChatTemplate, traits: Traits) -> Shape:
    """What has to be said otherwise for this template: only what it then shows."""

    def said(role: str, text: str = "Hello", **more: Any) -> Turn:
        return {"role": role, "content": [{"type": "text", "text": text}] if traits.in_parts else text, **more}

    def called(*words: str, text: str = "") -> list[Turn]:
        """A turn with a call for each word, and the results."""
        calls, results = [], []
        for at, word in enumerate(words):
            arguments: Any = f'{{"{word}": 1}}' if traits.text_arguments else {word: 1}
            id = f"gateway{at:02}"
            calls.append({"id": id, "type": "function", "function": {"name": "tool", "arguments": arguments}})
            results.append(said("tool", "done", name="tool", tool_call_id=id))
        return [said("user"), said("assistant", text, tool_calls=calls), *results]

    def shows(*turns: Turn) -> bool:
        shown = template.attempt(turns)
        return all(word in shown for word in (_ONE, _OTHER) if word in str(turns))

    many, text = called(_ONE, _OTHER), called(_ONE, text=_OTHER)
    calls_apart, text_apart = Shape(split_calls=True), Shape(split_text=True)
    # Where turns must alternate, it is the assistant's next one that stands in the way.
    after = (said("assistant"), said("user"))
    return Shape(
        fold_system=not shows(said("user"), said("assistant"), said("system", _ONE), said("user")),
        as_user=not shows(said("system", _ONE)),
        merge_turns=not shows(said("user", _ONE), said("user", _OTHER)),
        split_calls=not shows(*many) and shows(*calls_apart.shaped(many, traits), *after),
        split_text=not shows(*text) and shows(*text_apart.shaped(text, traits), *after),
    )


def _folded(turns: Sequence[Turn], traits: Traits) -> list[Turn]:
    kept = 1 if traits.system else 0
    moved = [turn for turn in turns[kept:] if _instructs(turn)]
    rest = [*turns[:kept], *(turn for turn in turns[kept:] if not _instructs(turn))]
    told = "\n\n".join(text_of(turn["content"]) for turn in moved)
    return with_system(rest, told, traits) if moved else rest


def _instructs(turn: Turn) -> bool:
    return turn["role"] in ("system", "developer")


def _merged(turns: Sequence[Turn]) -> list[Turn]:
    """Plain turns of one role in a row as one; what each has beside its content is kept."""

    def run(place: tuple[int, Turn]) -> str | int:
        at, turn = place
        return turn["role"] if turn["role"] in ("user", "assistant") and not turn.get("tool_calls") else at

    found: list[Turn] = []
    for _, group in groupby(enumerate(turns), key=run):
        alike = [turn for _, turn in group]
        beside = {key: value for turn in reversed(alike) for key, value in turn.items()}
        found.append(
            alike[0] if len(alike) == 1 else beside | {"content": joined(*(turn["content"] for turn in alike))}
        )
    return found
