"""LoRA adapters: each request gets its own, as peft gives it, whoever else is in the pass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from gateway.config import ConfigError
from gateway.engines.llm.transformers import TransformersModel
from gateway.errors import LoraUnsupported
from tests import tiny
from tests.engines.llm.peft_adapters import adapter, sources
from tests.engines.llm.streams import Conversation, ask, load
from tests.engines.llm.token_streams import decoding, run, token_model

# peft asks transformers for a name that it has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
TOKENIZER = tiny.byte_tokenizer()
PROMPTS = [TOKENIZER.encode(text) for text in ("Hello", "A longer prompt than the others.", "x")]


@dataclass
class Family:
    """A base model, adapters by name, and the model that serves them all."""

    base: Path
    folders: dict[str, Path]
    model: TransformersModel

    def direct(self, name: str | None, prompt: list[int]) -> list[int]:
        """What the libraries give."""
        model = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        if name is not None:
            model = PeftModel.from_pretrained(model, self.folders[name])
        output = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=20, do_sample=False)
        tokens: list[int] = output[0, len(prompt) :].tolist()
        return tokens


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    base = tiny.chat_model(tmp_path_factory.mktemp("base"))
    folders = {
        "pirate.v1": adapter(base, tmp_path_factory.mktemp("pirate"), 1),
        "poet": adapter(base, tmp_path_factory.mktemp("poet"), 2, r=8, target_modules=["o_proj", "down_proj"]),
    }
    return Family(base, folders, token_model(base, loras=sources(folders)))


NAMES = ["pirate.v1", None, "poet"]


def test_each_adapter_equals_the_librarys(family: Family) -> None:
    expected = [family.direct(name, prompt) for name, prompt in zip(NAMES, PROMPTS, strict=True)]
    alone = [
        run(family.model, (prompt, decoding(adapter=name)))[0].ids for name, prompt in zip(NAMES, PROMPTS, strict=True)
    ]
    assert alone == expected
    streams = [(prompt, decoding(adapter=name)) for name, prompt in zip(NAMES, PROMPTS, strict=True)]
    assert [told.ids for told in run(family.model, *streams)] == expected


def test_adapters_change_the_answer(family: Family) -> None:
    answers = [run(family.model, (PROMPTS[0], decoding(adapter=name)))[0].ids for name in NAMES]
    assert len({tuple(ids) for ids in answers}) == len(NAMES)


def test_work_is_not_shared_between_adapters(family: Family) -> None:
    prompt = TOKENIZER.encode("A prompt that is long enough to be kept.")
    counts = [run(family.model, (prompt, decoding(2, adapter=name)))[0].cached for name in [*NAMES, "poet"]]
    assert counts == [0, 0, 0, len(prompt) - 1]


def test_a_request_names_its_adapter(family: Family) -> None:
    engine = load(family.base, dtype="float32", loras=sources(family.folders))
    body: dict[str, Any] = {"prompt": "Hello", "temperature": 0, "max_tokens": 20}
    assert ask(engine, lora="poet", **body).text != ask(engine, **body).text
    with pytest.raises(LoraUnsupported, match="'/lora' is neither the name nor the id"):
        Conversation(engine).admit(lora="novelist", **body)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"use_dora": True}, "use_dora is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is not supported"),
        ({"bias": "lora_only"}, "bias is not supported"),
        ({"r": 3}, "does not fit the model"),
        ({"target_modules": ["nose"]}, "does not fit the model"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_by_name(
    family: Family, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    folder = adapter(family.base, tmp_path, 3)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError) as caught:
        token_model(family.base, loras={"mine": f"file:{folder}"})
    assert caught.value.detail.startswith("row @local/chat: loras.mine: ")
    assert reason in caught.value.detail
