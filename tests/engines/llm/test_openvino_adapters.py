"""LoRA adapters on OpenVINO: each stream has its own, as peft gives it over the same file, whoever is in the pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from gateway.config import ConfigError
from gateway.engines.llm import Engine
from gateway.engines.llm.conversion import converted
from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.sampling import Sampling
from gateway.errors import LoraUnsupported
from tests import tiny_gguf
from tests.engines.llm.fixed import make_all
from tests.engines.llm.peft_adapters import adapter, read_base, sources
from tests.engines.llm.streams import Conversation, load
from tests.engines.llm.token_streams import Tokens, run

# peft asks transformers for a name that it has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "few": {},
    "all": {"target_modules": ALL, "r": 8},
    "scaled": {"use_rslora": True, "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 3}},
}
PROMPT = [17 + 5 * at % 180 for at in range(40)]


@dataclass
class Family:
    """A file, adapters by name, and the engine that serves them all."""

    file: Path
    folders: dict[str, Path]
    engine: Engine

    @property
    def model(self) -> Any:
        return self.engine._backend._model  # type: ignore[attr-defined]

    def likeliest(self, name: str | None) -> tuple[list[int], torch.Tensor]:
        """What the libraries give behind the prompt: the eight likeliest tokens, and their logarithms."""
        model = read_base(self.file)
        if name is not None:
            model = PeftModel.from_pretrained(model, self.folders[name])
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([PROMPT])).logits[0, -1].log_softmax(-1).topk(8)
        return found.indices.tolist(), found.values


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    file = tiny_gguf.chat_gguf(tmp_path_factory.mktemp("tiny") / "model.gguf", kv_heads=2)
    folders = {
        name: adapter(file, tmp_path_factory.mktemp(name), seed, **settings)
        for seed, (name, settings) in enumerate(KINDS.items())
    }
    return Family(file, folders, load(file, threads=1, prefix_cache="account", loras=sources(folders)))


def stream(adapter: str | None, prompt: list[int] = PROMPT, tokens: int = 24) -> tuple[list[int], Decoding]:
    how = Decoding(Sampling(tokens, temperature=0), adapter=adapter, logprobs=7, ignore_eos=True)
    return prompt, how


def numbers(told: Tokens) -> list[float]:
    return [report.logprob for report in told.reports]


@pytest.mark.parametrize("name", [None, *KINDS])
def test_each_adapter_gives_what_peft_does_over_the_same_file(family: Family, name: str | None) -> None:
    ids, logarithms = family.likeliest(name)
    report = run(family.model, stream(name, tokens=1))[0].reports[0]
    ours = dict([(report.token, report.logprob), *report.top])
    assert ids[0] == report.token
    # Keys are stored in eight bits and activations rounded, which the libraries do not.
    for token, logarithm in zip(ids, logarithms.tolist(), strict=True):
        assert ours.get(token, logarithm) == pytest.approx(logarithm, abs=0.05)
    assert len(ours.keys() & set(ids)) >= 6


def test_adapters_change_the_answer(family: Family) -> None:
    answers = {name: run(family.model, stream(name))[0].ids for name in [None, *KINDS]}
    assert len({tuple(ids) for ids in answers.values()}) == len(answers)


def test_streams_side_by_side_are_bit_for_bit_what_each_is_alone(family: Family) -> None:
    names = [None, *KINDS, "few", None, "all"]
    streams = [stream(name, [token + at for token in PROMPT] * (1 + at % 3)) for at, name in enumerate(names)]
    alone = [run(family.model, one)[0] for one in streams]
    together = run(family.model, *streams)
    assert [(told.ids, numbers(told)) for told in together] == [(told.ids, numbers(told)) for told in alone]


def test_work_is_not_shared_between_adapters(family: Family) -> None:
    prompt = [200 - token for token in PROMPT] * 2
    counts = [run(family.model, stream(name, prompt, 2))[0].cached for name in [None, *KINDS, "few", None]]
    assert counts[:4] == [0, 0, 0, 0]
    assert min(counts[4:]) >= 32


def test_graphs_of_fixed_shape_have_the_adapters_too(family: Family) -> None:
    model = load(family.file, threads=1, prefix_cache="off", loras=sources(family.folders))._backend._model  # type: ignore[attr-defined]
    before = [run(model, stream(name))[0] for name in ("all", None)]
    make_all(model._stepper._graph)
    after = [run(model, stream(name))[0] for name in ("all", None)]
    assert [(told.ids, numbers(told)) for told in after] == [(told.ids, numbers(told)) for told in before]


def test_openvinos_own_form_has_adapters(family: Family) -> None:
    folder = converted(family.file)
    assert folder is not None
    engine = load(folder, threads=1, context_window=tiny_gguf.WINDOW, loras=sources(family.folders))
    told = run(engine._backend._model, stream("all"))[0]  # type: ignore[attr-defined]
    assert told.ids == run(family.model, stream("all"))[0].ids
    with pytest.raises(LoraUnsupported, match="'/lora' is neither the name nor the id"):
        Conversation(engine).admit(prompt="x", lora="novelist")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"target_modules": ["lm_head"]}, "lm_head is no product that can be changed on OpenVINO"),
        ({"target_modules": ["embed_tokens"]}, "is not of a product of low rank"),
    ],
)
def test_an_adapter_for_which_openvino_has_no_place_runs_on_transformers(
    family: Family, tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], reason: str
) -> None:
    loras = sources({"mine": adapter(family.file, tmp_path, 7, **settings)})
    caplog.set_level(logging.INFO, "gateway.engines.llm")
    model = load(family.file, threads=1, dtype="float32", loras=loras)._backend._model  # type: ignore[attr-defined]
    assert "backend transformers for gguf weights; not openvino: loras.mine: " in caplog.text
    assert reason in caplog.text
    assert len({tuple(run(model, stream(name))[0].ids) for name in (None, "mine")}) == 2
    for files, options in ((family.file, {"backend": "openvino"}), (converted(family.file), {})):
        assert files is not None
        with pytest.raises(ConfigError) as caught:
            load(files, options=options, context_window=tiny_gguf.WINDOW, loras=loras)
        assert caught.value.detail.startswith("row @local/chat: loras.mine: does not fit the model: ")


def test_an_adapter_of_another_size_is_refused_by_the_module(family: Family, tmp_path: Path) -> None:
    other = tiny_gguf.chat_gguf(tmp_path / "model.gguf", kv_heads=4)
    loras = sources({"mine": adapter(other, tmp_path / "adapter", 7)})
    with pytest.raises(ConfigError, match=r"loras\.mine: .*layers\.0\.self_attn\.v_proj takes 64 numbers and gives 32"):
        load(family.file, options={"backend": "openvino"}, loras=loras)
