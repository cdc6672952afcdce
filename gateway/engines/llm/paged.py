"""Steps streams whose keys and values are kept in pages of one pool; knows no sampling and no text.

The parts are those of transformers' continuous batching, without its manager: that one runs on a thread of its own
and chooses tokens itself, with one way of sampling for all and no seeds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching import FIFOScheduler, RequestState
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.generation.continuous_batching.continuous_api import (
    BackgroundThreadStatus,
    ContinuousBatchProcessor,
    OutputRouter,
)
from transformers.generation.continuous_batching.distributed import DistributedHelper
from transformers.generation.continuous_batching.initialization import update_cb_config_after_cache_creation
from transformers.generation.continuous_batching.model_runner import infer_max_single_request_tokens
from transformers.generation.continuous_batching.utils import logger as library_logger
from transformers.generation.continuous_batching.utils import stream_context

from gateway.engines.llm.stepping import Pass, TokenStream


class _KeptLogits(LogitsProcessor):
    """Keeps the logits of the last pass, always in the same place, to which a CUDA graph writes whenever it runs."""

    supports_continuous_batching = True

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows = rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Copy `scores` [streams, vocabulary]; they stay as they are."""
        self.rows[: len(scores)].copy_(scores)
        return scores


class PagedStepper:
    """A `Stepper` over one pool of pages, in which every stream takes as many as it fills.

    Each step is one pass: a token for every running stream and, with what is left of the pass's tokens, parts of
    waiting prompts, oldest first. Streams for which there is no page wait; if all would, the newest give theirs back
    and are read again later.
    """

    def __init__(self, model: Any, pages: ContinuousBatchingConfig, window: int) -> None:
        _join_logs()
        self._model = model
        config, alone = model.config.get_text_config(), DistributedHelper(None, None)
        self._cache = PagedAttentionCache(
            config, pages, model.device, alone, model.dtype, bool(model._supports_logits_to_keep())
        )
        self.window = min(window, infer_max_single_request_tokens(self._cache))
        # A CPU's memory is taken as pages are first written, a GPU's at once.
        self.cache_bytes = self._cache.cache_tensor.nbytes if model.device.type == "cpu" else 0
        update_cb_config_after_cache_creation(pages, self._cache.num_blocks, self._cache.max_batch_tokens)
        most, width = int(pages.max_requests_per_batch or 0), model.get_output_embeddings().weight.shape[0]
        self._logits = torch.empty(most, width, dtype=torch.float32, device=model.device)
        self._scheduler = FIFOScheduler(self._cache, pages.safety_margin, most)
        self._processor = ContinuousBatchProcessor(
            cache=self._cache,
            config=config,
            generation_config=GenerationConfig(do_sample=False),  # type: ignore[no-untyped-call]
            continuous_batching_config=pages,
            logit_processor=ContinuousBatchingLogitsProcessorList(LogitsProcessorList([_KeptLogits(self._logits)])),
            input_queue=None,
            cancel_queue=None,
            output_router=OutputRouter(),
            background_thread_status=BackgroundThreadStatus(),
            model_device=model.device,
            model_dtype=model.dtype,
            scheduler=self._scheduler,
            distributed_helper=alone,
        )
        self._processor.warmup(model)
        self._streams: dict[str, TokenStream] = {}
        self._read: dict[str, int] = {}

    @property
    def free_share(self) -> float:
        """The part of the pool that no stream holds."""
        return float(self._cache.compute_free_capacity())

    def add(self, id: int, stream: TokenStream) -> None:
        """Queue one stream."""
        self._streams[str(id)], self._read[str(id)] = stream, 0
        self._scheduler.add_waiting_request(RequestState(str(id), list(stream.prompt.tokens), max_new_tokens=None))

    def step(self) -> Iterator[Pass]:
        """One pass for all that run and a part of those that wait."""
        # Not the asynchronous kind, of which the library's types allow for too.
        inputs: Any = self._processor.inputs_and_outputs
        runner = self._processor.model_runner
        with stream_context(inputs.compute_stream):
            if not self._processor.prepare_next_batch():
                return
            runner.compute_batch(self._model, inputs.get_model_kwargs(use_padding=runner.pad_inputs))
            inputs.retrieve_device_outputs()
            ids = self._count_read(inputs.requests_in_batch)
            yield [int(id) for id in ids], self._logits[: len(ids)]
            # Who has not got a token is about to be dropped.
            tokens = [(self._streams[id].tokens or [0])[-1] for id in ids]
            inputs.output_ids[0, : len(ids)] = torch.tensor(tokens, dtype=torch.int32)
            self._processor.update_batch()

    def drop(self, id: int) -> None:
        """Forget a stream and free its pages."""
        if self._streams.pop(str(id), None) is None:
            return
        del self._read[str(id)]
        self._scheduler.set_request_cancellation(str(id))
        self._scheduler.clear_cancelled_requests()
        # Set when pages ran out; there are some again.
        self._scheduler.block_new_requests = False

    def _count_read(self, requests: Any) -> list[str]:
        """Which streams have new logits, in the order of the rows; notes what they found in the pool already."""
        for request in requests:
            self._read[request.state.request_id] += request.query_length
        ids = [request.state.request_id for request in requests if request.has_new_token]
        for id in ids:
            stream = self._streams[id]
            if not stream.tokens:
                stream.cached = max(0, len(stream.prompt.tokens) - self._read[id])
        return ids


def _join_logs() -> None:
    """Have the library, which writes to standard error in a form of its own, log as everything else does."""
    library_logger.handlers.clear()
    library_logger.propagate = True
    library_logger.setLevel(logging.WARNING)
