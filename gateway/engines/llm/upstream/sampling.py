"""How a caller wants tokens chosen, in the fields of one kind of server; knows no messages and no tools."""

from __future__ import annotations

from typing import Any

from gateway.engines.llm.sampling import GREEDY_BELOW
from gateway.engines.llm.upstream.dialect import Dialect
from gateway.errors import BadInput
from gateway.tasks.generation import Generation

# What servers hand to the library that renders templates: not options of a template, and one of them is a template.
_RESERVED = {
    *("chat_template", "messages", "conversation", "tools", "documents", "tokenize", "add_generation_prompt"),
    *("continue_final_message", "return_dict", "return_tensors", "truncation", "max_length", "padding"),
}


def refuse_unknown(generation: Generation, dialect: Dialect) -> None:
    """Raise `BadInput` for a wish that this kind of server is not known to understand: it might be ignored."""
    asked = {
        "top_k": generation.top_k > 0,
        "repetition_penalty": generation.repetition_penalty != 1,
        "ignore_eos": generation.ignore_eos,
    }
    unknown = [name for name, wanted in asked.items() if wanted and name not in dialect.names]
    # Without thinking is an effort that OpenAI's form has a word for.
    if (generation.template_options or generation.think) and not dialect.takes_template_options:
        unknown.append("chat_template_kwargs")
    if unknown:
        raise BadInput(f"'/{unknown[0]}' is not supported by the server behind this model")
    if reserved := sorted(_RESERVED & generation.template_options.keys()):
        raise BadInput(f"'/chat_template_kwargs/{reserved[0]}' is no option of a template")


def sampling_fields(generation: Generation, dialect: Dialect, *, window: int | None) -> dict[str, Any]:
    """The part of a request's body that says how tokens are chosen, and how many."""
    body: dict[str, Any] = {
        **dialect.defaults,
        "temperature": generation.temperature if generation.temperature >= GREEDY_BELOW else 0,
        "top_p": generation.top_p,
        **{theirs: getattr(generation, ours) for ours, theirs in dialect.names.items()},
    }
    if "top_k" in body and not generation.top_k:
        body["top_k"] = dialect.all_tokens
    if generation.n > 1:
        body["n"] = generation.n
        if not (body["temperature"] or dialect.takes_greedy_choices):
            body |= {"temperature": 1.0, "top_k": 1}
    if generation.output_tokens is not None:
        body["max_tokens"] = generation.output_tokens
    if generation.seed is not None:
        body["seed"] = generation.seed % dialect.seeds if dialect.seeds else generation.seed
    if generation.stop:
        body["stop"] = list(generation.stop)
    if generation.logit_bias:
        body["logit_bias"] = {str(id): bias for id, bias in generation.logit_bias.items()}
    return body | _penalties(generation, dialect, window)


def _penalties(generation: Generation, dialect: Dialect, window: int | None) -> dict[str, Any]:
    names = ("frequency_penalty", "presence_penalty")
    body: dict[str, Any] = {name: value for name in names if (value := getattr(generation, name))}
    if dialect.penalizes_last_tokens and window and (body or generation.repetition_penalty != 1):
        body["repeat_last_n"] = window
    return body
