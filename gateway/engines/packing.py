"""Runs an encoder over texts of different lengths without wasting work on padding; knows neither pooling nor heads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

PACKED = "gateway_packed"
PACKABLE = ("bert", "distilbert", "roberta", "xlm-roberta")
# A pass has a multiple of this many tokens, or of a sixteenth to an eighth of what it has, whichever is more.
LEAST_STEP = 8
TokenIds = Sequence[int]
_PASS_TOKENS = {("cpu", True): 1024, ("cpu", False): 2048, ("cuda", True): 16384}


def pass_tokens(device: torch.device | str, *, pads: bool = True) -> int:
    """How many tokens, padding included, keep a device busy in one pass."""
    return _PASS_TOKENS[torch.device(device).type, pads]


def first_position(config: PretrainedConfig) -> int:
    """The position of a text's first token; the RoBERTa family counts from behind the padding token's id."""
    return config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta") else 0


def passes(lengths: Sequence[int], budget_tokens: int) -> Iterator[list[int]]:
    """Indices of `lengths`, shortest first, in groups of which rows x longest stays within the budget.

    A length beyond the budget makes a group of its own.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[index] > budget_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def pad(rows: Sequence[TokenIds], padding: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of shape (rows, longest) and the mask of what is text in them."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *itertools.repeat(padding, longest - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids.to(device), (torch.arange(longest) < lengths[:, None]).to(device)


def can_pack(config: PretrainedConfig, device: torch.device) -> bool:
    """Whether texts can be laid end to end for this model: positions are given, and attention is replaceable.

    Only on CPUs: there one attention call per text costs less than padding, on a GPU the calls themselves cost more.
    """
    return device.type == "cpu" and config.model_type in PACKABLE and not getattr(config, "is_decoder", False)


def hidden_states(
    model: PreTrainedModel, rows: Sequence[TokenIds], types: Sequence[Sequence[int]] | None = None
) -> torch.Tensor:
    """The last layer of a bare encoder for `rows`, end to end: float32 of shape (sum of lengths, width).

    `types`, which only a model that packs is given, says of each token which text of a pair it is of.
    """
    if model.config._attn_implementation == PACKED:
        return _packed(model, rows, types)
    ids, mask = pad(rows, model.config.pad_token_id or 0, model.device)
    states: torch.Tensor = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    return states[mask].float()


def _packed(model: PreTrainedModel, rows: Sequence[TokenIds], types: Sequence[Sequence[int]] | None) -> torch.Tensor:
    count = sum(map(len, rows))
    rows = [*rows, *_filling(count)]
    types = None if types is None else [*types, *_filling(count)]
    lengths = [len(row) for row in rows]
    first = first_position(model.config)
    ids = _end_to_end(rows)
    more = {} if types is None else {"token_type_ids": _end_to_end(types)}
    positions = torch.cat([torch.arange(first, first + length) for length in lengths])[None]
    runs = [(length, sum(1 for _ in same)) for length, same in itertools.groupby(lengths)]
    states: torch.Tensor = model(input_ids=ids, position_ids=positions, runs=runs, **more).last_hidden_state
    return states[0, :count].float()


def _filling(tokens: int) -> Iterator[TokenIds]:
    """Texts of one token each that make the passes of all requests equal in a few dozen sizes.

    oneDNN, which multiplies bfloat16 on CPUs, prepares code for each size that it meets and keeps it: 2 MB for
    MiniLM, half a gigabyte after 240 batches, and 5 % of the time.
    """
    step = max(LEAST_STEP, 1 << max(0, tokens.bit_length() - 4))
    return itertools.repeat((0,), -tokens % step)


def _end_to_end(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.tensor([list(itertools.chain.from_iterable(rows))])


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    runs: Sequence[tuple[int, int]],
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each text to itself. Tensors come as (1, heads, tokens, size).

    `runs` tells where the texts are: for each run of texts of one length, that length and their number.
    """
    packed = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    out = torch.empty_like(packed[0], memory_format=torch.contiguous_format)
    shape, start = packed[0].shape[1:], 0
    for length, texts in runs:
        part = slice(start, start + length * texts)
        q, k, v = (tensor[part].view(texts, length, *shape).transpose(1, 2) for tensor in packed)
        attended = scaled_dot_product_attention(q, k, v, scale=scaling)
        out[part].view(texts, length, *shape).copy_(attended.transpose(1, 2))
        start = part.stop
    return out[None], None


AttentionInterface.register(PACKED, _attend)
