"""Draws orders one group after another, a step at a time; knows no pipeline and no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
import torch
from PIL import Image

from gateway.config import ModelSpec
from gateway.engines.diffusion.order import Order, take_order
from gateway.engines.diffusion.studio import Studio
from gateway.engines.diffusion.walk import Walk
from gateway.engines.image_encoding import Kind, encode
from gateway.errors import FlaggedContent, GatewayError, InferenceFailed
from gateway.tasks import Piece, Usage
from gateway.tasks.drawing import Drawing

Drawn = list[Image.Image | GatewayError]
PIXELS_PER_UNIT = 1024
log = structlog.get_logger("gateway.engine")


class Easel:
    """The oldest order is always in the group that is drawn next, beside those that can share its pass.

    A group that fails is drawn again one by one, so that each order answers for itself alone.
    """

    def __init__(self, spec: ModelSpec, studio: Studio, kind: Kind) -> None:
        self._studio = studio
        self._kind: Kind = kind
        self._most_items, self._most_units = spec.max_batch_items, spec.max_batch_tokens
        self._waiting: list[Order] = []
        self._singly: set[int] = set()
        self._group: list[Order] = []
        self._left: set[int] = set()
        self._walk: Walk[Drawn] | None = None

    def admit(self, id: int, drawing: Drawing) -> None:
        """Let it wait for its turn; raises `BadInput` if it cannot be drawn."""
        self._waiting.append(take_order(id, drawing, self._studio))

    def drop(self, id: int) -> None:
        """Forget an order; a group of which nobody is left is given up where it stands."""
        self._waiting = [order for order in self._waiting if order.id != id]
        self._singly.discard(id)
        if any(order.id == id for order in self._group):
            self._left.add(id)
            if len(self._left) == len(self._group):
                self._end_walk()

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """One step of the group in work, or of the next one; its encoded pictures if it was the last step."""
        if self._walk is None:
            if not self._waiting:
                return []
            self._walk = self._begin()
        try:
            drawn = self._walk.advance()
        except Exception as error:
            return self._failed(error)
        if drawn is None:
            return []
        pieces = [
            (order.id, self._piece(order, picture))
            for order, picture in zip(self._group, drawn, strict=True)
            if order.id not in self._left
        ]
        self._end_walk()
        return pieces

    def _begin(self) -> Walk[Drawn]:
        self._group = group = self._next_group()
        self._waiting = [order for order in self._waiting if order not in group]
        self._singly -= {order.id for order in group}
        return Walk(lambda pause: _draw(self._studio, group, pause))

    def _next_group(self) -> list[Order]:
        first = self._waiting[0]
        if first.id in self._singly:
            return [first]
        units = max(1, first.canvas[0] * first.canvas[1] // PIXELS_PER_UNIT)
        most = max(1, min(self._most_items, self._most_units // units))
        alike = (order for order in self._waiting if order.kind == first.kind and order.id not in self._singly)
        return [order for order, _ in zip(alike, range(most), strict=False)]

    def _failed(self, error: Exception) -> list[tuple[int, Piece | GatewayError]]:
        group = [order for order in self._group if order.id not in self._left]
        self._end_walk()
        if self._studio.device != "cpu":
            torch.cuda.empty_cache()
        if len(group) > 1:
            log.warning("batch failed, its inputs are run one by one", items=len(group), reason=repr(error)[:500])
            self._waiting = group + self._waiting
            self._singly |= {order.id for order in group}
            return []
        if not isinstance(error, GatewayError):
            log.error("inference failed", exc_info=error)
            error = InferenceFailed()
        return [(order.id, error) for order in group]

    def _piece(self, order: Order, drawn: Image.Image | GatewayError) -> Piece | GatewayError:
        if isinstance(drawn, GatewayError):
            return drawn
        file = encode(order.framed(drawn), self._kind)
        return Piece(data=file, finish_reason="stop", usage=Usage(steps=order.steps))

    def _end_walk(self) -> None:
        if self._walk is not None:
            self._walk.abandon()
        self._walk, self._group, self._left = None, [], set()


def _draw(studio: Studio, group: list[Order], pause: Callable[[], None]) -> Drawn:
    """The picture of each order, which are all of one kind."""
    first = group[0]
    result = studio.draw(
        first.start,
        first.canvas,
        pause,
        prompt=[order.prompt for order in group],
        negative_prompt=[order.negative_prompt for order in group] if first.negative_prompt is not None else None,
        num_inference_steps=first.steps,
        guidance_scale=first.guidance,
        strength=first.strength,
        image=list(first.references) or ([order.image for order in group] if first.image is not None else None),
        mask_image=[order.mask for order in group] if first.mask is not None else None,
        generator=[order.generator() for order in group],
    )
    flags = getattr(result, "nsfw_content_detected", None) or [False] * len(group)
    return [FlaggedContent() if flag else image for image, flag in zip(result.images, flags, strict=True)]
