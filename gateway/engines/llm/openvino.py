"""Continues tokens of GGUF and OpenVINO weights on a CPU; knows no text beyond its tokenizer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino_genai
import torch

from gateway.config import GIB, MIB, ModelSpec
from gateway.engines.llm.adapter_files import read_adapters
from gateway.engines.llm.backend import Tokenizer
from gateway.engines.llm.conversion import convert, converted
from gateway.engines.llm.facts import config_facts, saved_facts, window_of
from gateway.engines.llm.fixed_graphs import WIDTHS
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.openvino_setup import pass_tokens, properties, room_bytes
from gateway.engines.llm.openvino_tokenizer import OpenVinoTokenizer
from gateway.engines.llm.options import Options
from gateway.engines.llm.page_schedule import PageSchedule
from gateway.engines.llm.paged_graph import PagedGraph
from gateway.engines.llm.pages import Pages
from gateway.engines.llm.stepped import SteppedModel
from gateway.engines.llm.stepping import Pass, TokenStream
from gateway.engines.llm.vocabulary import vocabulary_from
from gateway.engines.llm.weights import Weights

# So many passes of few streams, and what makes them faster is worth its making.
FEW_PASSES = 48
logger = logging.getLogger(__name__)


class OpenVinoStepper:
    """A `Stepper` of one pass a step: a token for every running stream, and a part of the waiting prompts.

    A stream's logits do not depend on the streams beside it, on how its prompt was cut into passes, nor on what of it
    was in pages already: with the same seed a request gives the same tokens again.
    """

    def __init__(self, spec: ModelSpec, options: Options, graph: PagedGraph, window: int) -> None:
        token_bytes = graph.page_bytes // graph.page_tokens
        count = room_bytes(options, window * token_bytes, spec.max_streams) // graph.page_bytes
        graph.hold(count)
        self.cache_bytes = count * graph.page_bytes + graph.growth_bytes
        self.window = min(window, count * graph.page_tokens)
        kept = min(count, options.prefix_cache_mib * MIB // graph.page_bytes)
        self.schedule = PageSchedule(
            Pages(count, graph.page_tokens, kept),
            pass_tokens=pass_tokens(spec.max_streams),
            most_streams=spec.max_streams,
            shares=spec.prefix_cache != "off" and kept > 0,
            accounts=spec.prefix_cache != "shared",
        )
        self._graph = graph
        self._few_passes = 0

    def add(self, id: int, stream: TokenStream) -> None:
        """Queue one stream."""
        self.schedule.add(id, stream)

    def step(self) -> Iterator[Pass]:
        """The pass, if it ends a prompt or gives a running stream a token."""
        parts = self.schedule.plan(self._graph.widths)
        if not parts:
            return
        runs = [run for part in parts for run in part.runs()]
        self._few_passes += len(runs) <= max(WIDTHS) and all(len(run.tokens) == 1 for run in runs)
        logits = self._graph.forward(runs)
        self.schedule.passed(parts)
        if len(logits):
            yield [part.line.id for part in parts if part.ends], logits

    def drop(self, id: int) -> None:
        """Forget a stream and free its pages; when all have left, there is time to prepare for the next few."""
        self.schedule.drop(id)
        if self._few_passes >= FEW_PASSES and self.schedule.is_empty:
            self._few_passes = 0
            self._graph.hasten()


class OpenVinoModel(SteppedModel):
    """A `TokenModel` over one model of OpenVINO's."""

    def __init__(self, spec: ModelSpec, options: Options, weights: Weights) -> None:
        # Its own threads compute; those of torch would wait beside them.
        torch.set_num_threads(1)
        adapters = read_adapters(spec)
        with _folder(options, weights) as folder:
            facts = config_facts(folder) if weights.kind == "openvino" else saved_facts(folder)
            library = openvino_genai.Tokenizer(folder)
            graph = PagedGraph(folder, properties(spec), adapters, options.fixed_graphs_mib * MIB)
        tokenizer = OpenVinoTokenizer(library)
        ends = {end for end in (*facts.stop_tokens, library.get_eos_token_id()) if end >= 0}
        stepper = OpenVinoStepper(spec, options, graph, _uncut(tokenizer, window_of(spec, facts.window)))
        words = vocabulary_from(tokenizer.pieces(), tokenizer.special(), tokenizer.plain, ends, graph.width)
        super().__init__(stepper, tokenizer, Grammars(words), ends=ends, width=graph.width, adapters=adapters)
        gib = stepper.schedule.pages.count * graph.page_bytes / GIB
        logger.info("%s: window %d tokens, up to %.1f GiB of keys and values", spec.name, self.window, gib)


@contextmanager
def _folder(options: Options, weights: Weights) -> Iterator[Path]:
    """Where the weights are in OpenVINO's form; a GGUF is converted, for this once if it may not be kept."""
    kept = converted(weights.path) if weights.kind == "gguf" and options.keep_converted else None
    if weights.kind == "openvino" or kept is not None:
        yield kept or weights.path
        return
    with TemporaryDirectory() as own:
        convert(weights.path, Path(own))
        # What is read from there stays readable: files are mapped.
        yield Path(own)


def _uncut(tokenizer: Tokenizer, window: int) -> int:
    """The window in which no prompt is cut: some tokenizers silently end at a length of their own.

    OpenVINO 2026.4 builds that of a GGUF to end at 8192 tokens, whatever the model's window.
    """
    longest = len(tokenizer.encode("a " * (window + 1), add_special_tokens=False))
    if longest < window:
        logger.warning("the tokenizer ends at %d tokens, which shortens the window of %d", longest, window)
    return min(window, longest)
