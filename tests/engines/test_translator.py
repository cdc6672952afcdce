"""The translator gives what transformers gives, whatever languages share the batch."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer, NllbTokenizer

from gateway.config import ConfigError, ModelSpec
from gateway.engines.translator import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from tests import tiny, tiny_text

TASK = TASKS.get("translation")
PAIRS = [("en", "fr"), ("de", "zh"), ("ja", "en"), ("en", "ceb"), ("sw", "fr")]


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="translator", **fields), TASK, files)


def bodies(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of 1 to 100 letters, shorter and longer than the window, in turn between the languages of `PAIRS`."""
    source = random.Random(seed)
    texts = [" ".join(source.choices(tiny.LETTERS, k=source.randint(1, 100))) for _ in range(count)]
    return [
        {"text": text, "source_lang": PAIRS[i % len(PAIRS)][0], "target_lang": PAIRS[i % len(PAIRS)][1]}
        for i, text in enumerate(texts)
    ]


def translate(engine: Engine, bodies: list[dict[str, Any]]) -> list[str]:
    return [output.translated_text for output in engine.run([TASK.parse(body) for body in bodies])]


def reference(files: Path, bodies: list[dict[str, Any]]) -> list[str]:
    tokenizer = M2M100Tokenizer.from_pretrained(files, local_files_only=True)
    model = M2M100ForConditionalGeneration.from_pretrained(files, local_files_only=True).eval()
    texts = []
    for body in bodies:
        tokenizer.src_lang = body["source_lang"]
        encoded = tokenizer(body["text"], return_tensors="pt", truncation=True, max_length=tiny_text.EMBED_WINDOW)
        with torch.inference_mode():
            ids = model.generate(**encoded, forced_bos_token_id=tokenizer.get_lang_id(body["target_lang"]))
        assert ids[0, 1] == tokenizer.get_lang_id(body["target_lang"])
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text.translator(tmp_path_factory.mktemp("translator") / "model")


def test_different_languages_in_one_batch_equal_the_library_one_by_one(folder: Path) -> None:
    asked = bodies(20)
    expected = reference(folder, asked)
    assert len(set(expected)) > 10, "translations too alike to tell"
    assert translate(engine(folder), asked) == expected


def test_the_target_language_makes_the_difference(folder: Path) -> None:
    asked = [{"text": "a b c d", "target_lang": code} for code in ("fr", "de", "zh", "zu")]
    assert len(set(translate(engine(folder), asked))) > 1


def test_the_source_language_makes_the_difference(folder: Path) -> None:
    asked = [{"text": "a b c d", "source_lang": code, "target_lang": "fr"} for code in ("en", "de", "zh", "zu")]
    assert len(set(translate(engine(folder), asked))) > 1


def test_a_batch_of_one_equals_a_batch_of_many(folder: Path) -> None:
    loaded, asked = engine(folder), bodies(24, seed=1)
    assert translate(loaded, asked) == [translate(loaded, [body])[0] for body in asked]


def test_names_and_codes_are_the_same(folder: Path) -> None:
    named, coded = translate(
        engine(folder),
        [
            {"text": "a b c", "source_lang": "english", "target_lang": "French"},
            {"text": "a b c", "target_lang": "fr"},
        ],
    )
    assert named == coded


def test_usage_counts_what_was_read_and_written(folder: Path) -> None:
    short, long = engine(folder).run([TASK.parse({"text": text, "target_lang": "fr"}) for text in ("a", "a " * 200)])
    tokenizer = M2M100Tokenizer.from_pretrained(folder, local_files_only=True)
    assert short.usage.prompt_tokens == len(tokenizer("a")["input_ids"])
    assert long.usage.prompt_tokens == tiny_text.EMBED_WINDOW
    assert 0 < short.usage.completion_tokens < 24


def test_a_language_the_model_lacks_spares_its_neighbours(tmp_path: Path) -> None:
    asked = [{"target_lang": "zu"}, {"target_lang": "de"}, {"target_lang": "en", "source_lang": "fr"}]
    files = tiny_text.translator(tmp_path / "model", "wmt21")
    outputs = engine(files).run([TASK.parse({"text": "a b", **body}) for body in asked])
    details = [output.detail if isinstance(output, BadInput) else None for output in outputs]
    assert details == [
        "'/target_lang': this model does not know zu; it knows cs, de, en, ha, is, ja, ru, zh",
        None,
        "'/source_lang': this model does not know fr; it knows cs, de, en, ha, is, ja, ru, zh",
    ]
    assert [outputs[1].translated_text] == reference(files, [{"text": "a b", "source_lang": "en", "target_lang": "de"}])


INDIC = TASKS.get("translation", "indictrans2")
INDIC_TEXTS = ["a b c d", "e f", "g h a b c d e f g h"]


@pytest.fixture(scope="module")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text.nllb(tmp_path_factory.mktemp("nllb") / "model")


def nllb_reference(files: Path, text: str, target: str) -> str:
    tokenizer = NllbTokenizer.from_pretrained(files, local_files_only=True, src_lang="eng_Latn")
    model = M2M100ForConditionalGeneration.from_pretrained(files, local_files_only=True).eval()
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=tiny_text.EMBED_WINDOW)
    with torch.inference_mode():
        ids = model.generate(**encoded, forced_bos_token_id=tokenizer.convert_tokens_to_ids(target))
    (written,) = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return str(written)


def test_indictrans2s_form_on_a_model_of_flores_languages_equals_the_library(nllb: Path) -> None:
    loaded = engine(nllb)
    asked = [
        {"text": INDIC_TEXTS, "target_language": "hin_Deva"},
        {"text": INDIC_TEXTS[0], "target_language": "tam_Taml"},
        {"text": INDIC_TEXTS[2]},
    ]
    answers = [output.translations for output in loaded.run([INDIC.parse(body) for body in asked])]
    assert answers == [
        [nllb_reference(nllb, text, "hin_Deva") for text in INDIC_TEXTS],
        [nllb_reference(nllb, INDIC_TEXTS[0], "tam_Taml")],
        [nllb_reference(nllb, INDIC_TEXTS[2], "hin_Deva")],
    ]
    assert len({text for answer in answers for text in answer}) > 2


def test_languages_that_only_one_of_the_vocabularies_has(nllb: Path, folder: Path) -> None:
    gondi, french = INDIC.parse({"text": "a", "target_language": "gon_Deva"}), TASK.parse(bodies(1)[0])
    (lacking,) = engine(nllb).run([gondi])
    assert lacking.detail.startswith(
        "'/target_language': this model does not know gon_Deva; it knows asm_Beng, awa_Deva, "
    )
    (lacking,) = engine(nllb).run([french])
    assert lacking.detail == "'/source_lang': this model does not know en"
    (lacking,) = engine(folder).run([gondi])
    assert lacking.detail == "'/text': this model does not know eng_Latn"


def test_a_folder_without_languages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the tokenizer of an M2M-100 or NLLB model is expected"):
        engine(tiny_text.summarizer(tmp_path / "model"))
