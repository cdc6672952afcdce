"""Shows pictures to a vision-language model of transformers: pixels and placeholders, by its own processor."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from gateway.engines.images import decode
from gateway.engines.llm.decoding import Prompt
from gateway.engines.llm.pictures import Picture
from gateway.errors import BadInput
from gateway.tasks.image import MAX_PIXELS

logger = logging.getLogger(__name__)


class Sight:
    """What a checkpoint's processor makes of a text with placeholders and its pictures."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.template: str | None = processor.chat_template
        self.placeholder = str(processor.image_token)

    def encode(self, text: str, pictures: Sequence[Picture], *, add_special_tokens: bool) -> Prompt:
        """As `Sighted.encode_with_pictures` has it; all pictures together may have `MAX_PIXELS`."""
        images = []
        left = MAX_PIXELS
        for picture in pictures:
            images.append(decode(picture.data, left, picture.field))
            left -= images[-1].width * images[-1].height
        places = text.count(self.placeholder)
        if not places:
            text = self.placeholder * len(images) + "\n" + text
        elif places != len(images):
            raise BadInput(f"'/messages' has {len(images)} pictures, but {self.placeholder} is in it {places} times")
        ask = {"text": [text], "images": [images], "add_special_tokens": add_special_tokens, "return_tensors": "pt"}
        try:
            found = self._processor(**ask)
        except Exception as error:  # a processor's limits on sizes and numbers are its own
            logger.info("a processor refused pictures", exc_info=error)
            raise BadInput(f"'{pictures[0].field}': the model's processor cannot take these pictures") from None
        tokens = found.pop("input_ids")[0].tolist()
        return Prompt(tokens, {name: value for name, value in found.items() if name != "attention_mask"})


def load_sight(folder: Path, config: Any) -> Sight | None:
    """The sight of the checkpoint in `folder`; None, with the reason in the log, if its processor cannot run here."""
    try:
        kind = _for_stills(PROCESSOR_MAPPING[type(config)])
        return Sight(kind.from_pretrained(folder, backend="pil", local_files_only=True))
    except (ImportError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        logger.warning("the model is shown no pictures: its processor cannot be loaded: %s", str(error)[:300])
        return None


def _for_stills(kind: Any) -> Any:
    """The class of processors without its part for videos, which needs torchvision."""
    parts = kind.get_attributes()
    stills = [part for part in parts if "video" not in part]

    class Stills(kind):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return stills

        @classmethod
        def _get_arguments_from_pretrained(cls, *where: Any, **settings: Any) -> list[Any]:
            found = dict(zip(stills, super()._get_arguments_from_pretrained(*where, **settings), strict=True))
            return [found.get(part) for part in parts]

    return kind if stills == parts else Stills
