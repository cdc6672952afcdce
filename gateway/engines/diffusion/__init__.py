"""Text to image: one engine over diffusers' pipelines; knows when they are imported, not how they work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.engines.base import StreamEngine
from gateway.errors import GatewayError
from gateway.tasks import Piece, Task
from gateway.tasks.drawing import DrawingInput
from gateway.tasks.schema import output_schema

if TYPE_CHECKING:
    from gateway.config import ModelSpec


class Engine(StreamEngine):
    """Draws what is asked for, a denoising step at a time; each answer is one piece with the encoded picture.

    diffusers is imported with the first model that needs it: seconds and memory that a gateway without pictures
    does not spend.
    """

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        import transformers

        # diffusers imports names that warn of torchvision.
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        from gateway.engines.diffusion.easel import Easel
        from gateway.engines.diffusion.studio import Studio

        studio = Studio(spec, files)
        self.device = studio.device
        is_png = output_schema(task).get("contentType") == "image/png"
        self._easel = Easel(spec, studio, "PNG" if is_png else "JPEG")

    def admit(self, id: int, input: DrawingInput) -> None:
        """Take in one request; raises `BadInput` if its images or its size do not fit the model."""
        self._easel.admit(id, input.drawing())

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """One denoising step of the pictures in work; what they became if it was the last one."""
        return self._easel.step()

    def drop(self, id: int) -> None:
        """Forget a request; pictures that nobody waits for any more are given up."""
        self._easel.drop(id)
