"""How servers of OpenAI's form differ: what further fields each takes and must be told; opens no connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from gateway.engines.llm.upstream.options import Kind

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of server understands beyond OpenAI's own fields.

    `names` maps our field to the server's; a field that is absent cannot be asked for. `all_tokens` is the `top_k`
    that keeps every token. `defaults` switches off what the server would do unasked. `cache` is how prompts of one
    account are kept from being found by another: a salt, no reuse at all, or not at all. With `takes_raw`, a raw prompt
    and a fine-tune are fields of a chat; otherwise they are a route and a model's name. `reasoning_names` are what an
    earlier turn's reasoning is called. With `counts_all_along` it can be asked to count tokens in every chunk.
    """

    name: Kind
    names: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    defaults: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    all_tokens: int = 0
    takes_greedy_choices: bool = True
    takes_template_options: bool = False
    effort_is_template_option: bool = False
    penalizes_last_tokens: bool = False
    holds_to_tool_choice: bool = True
    seeds: int | None = None
    usage_per_choice: bool = False
    counts_all_along: bool = False
    takes_raw: bool = False
    reasoning_names: tuple[str, ...] = ("reasoning_content",)
    cache: Literal["salt", "switch", "none"] = "none"


_EXTRAS = {"top_k": "top_k", "repetition_penalty": "repetition_penalty", "ignore_eos": "ignore_eos"}
_VLLM = Dialect(
    "vllm",
    names=_EXTRAS,
    defaults={"min_p": 0.0, "repetition_penalty": 1.0},
    all_tokens=-1,
    takes_greedy_choices=False,
    takes_template_options=True,
    # The older versions know the first, the newer ones the second alone.
    reasoning_names=("reasoning_content", "reasoning"),
    counts_all_along=True,
    cache="salt",
)
_SGLANG = Dialect(
    "sglang",
    names=_EXTRAS,
    defaults={"min_p": 0.0, "repetition_penalty": 1.0},
    all_tokens=-1,
    takes_template_options=True,
    counts_all_along=True,
    cache="salt",
)
_LLAMA_CPP = Dialect(
    "llama.cpp",
    names={**_EXTRAS, "repetition_penalty": "repeat_penalty"},
    defaults={"min_p": 0.0, "repeat_penalty": 1.0},
    takes_template_options=True,
    effort_is_template_option=True,
    # Left to itself, the last 64.
    penalizes_last_tokens=True,
    # Known to its makers for some templates, and it cannot be asked for a tool by name.
    holds_to_tool_choice=False,
    # The largest number of 32 bits asks for a random seed.
    seeds=(1 << 32) - 1,
    usage_per_choice=True,
    cache="switch",
)
_GATEWAY = Dialect("gateway", names=_EXTRAS, takes_template_options=True, seeds=(1 << 63) - 1, takes_raw=True)
_OPENAI = Dialect("openai", seeds=(1 << 63) - 1)
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (_VLLM, _SGLANG, _LLAMA_CPP, _GATEWAY, _OPENAI)}
_OWNERS: dict[str, Kind] = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp"}


def dialect_of(kind: str, owner: str, *, is_gateway: bool = False) -> Dialect:
    """The dialect that a row names or, for `auto`, that of the server which lists its models as `owned_by` this.

    Who owns a model of another gateway says nothing of it: `is_gateway` comes first.
    """
    if kind != "auto":
        return DIALECTS[kind]
    return _GATEWAY if is_gateway else DIALECTS[_OWNERS.get(owner, "openai")]
