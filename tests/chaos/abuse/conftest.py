"""The gateway that all tests of abuse attack: real engines where the danger is in an engine, none elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny, tiny_seers, tiny_text, tiny_vision
from tests.chaos.abuse.site import NEIGHBOUR, Site
from tests.engines import media, tiny_whisper
from tests.seeing import uri
from tests.server import gateway, write_models

ROOT = str(Path(__file__).parents[3])
PHOTO = tiny_vision.picture(64, 64)
SEES, HEARS, CHATS, DRAWS, DRAWS_2, SPEAKS, EMBEDS, LISTENS, COMPLETES, READS, RANKS = (
    f"@test/{name}"
    for name in (
        "sees",
        "hears",
        "chats",
        "draws",
        "draws-2",
        "speaks",
        "embeds",
        "listens",
        "completes",
        "reads",
        "ranks",
    )
)
WARM = {
    NEIGHBOUR: {"text": "a"},
    EMBEDS: {"text": "a"},
    READS: {"text": "a"},
    RANKS: {"query": "a", "contexts": [{"text": "a"}]},
    SPEAKS: {"text": "a"},
    DRAWS: {"prompt": "a"},
    LISTENS: {"audio": {"body": "AAAA", "contentType": "audio/wav"}},
    SEES: {"image": list(PHOTO)},
    HEARS: {"audio": list(media.wav(media.tone(2.0), 22_050))},
    CHATS: {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": uri(PHOTO)}}],
            }
        ],
        "max_tokens": 4,
    },
    COMPLETES: {
        "prompt": "a",
        "max_tokens": 4,
        "response_format": {"type": "json_schema", "json_schema": {"type": "object"}},
    },
}


def rows(home: Path) -> list[str]:
    """Real engines for media, long texts, templates and grammars; fake ones where only the front is at risk."""
    seer = tiny_seers.seer(home / "seer", "qwen2_5_vl")
    exact = "device: cpu, dtype: float32, threads: 1"
    return [
        f"{{name: '{NEIGHBOUR}', task: text-classification, engine: fake}}",
        f"{{name: '{EMBEDS}', task: text-embeddings, engine: fake}}",
        f"{{name: '{SPEAKS}', task: text-to-speech, shape: aura, engine: fake}}",
        f"{{name: '{DRAWS}', task: text-to-image, shape: stable-diffusion, engine: fake}}",
        f"{{name: '{DRAWS_2}', task: text-to-image, shape: flux-2, engine: fake}}",
        f"{{name: '{LISTENS}', task: automatic-speech-recognition, shape: nova-3, engine: fake}}",
        f"{{name: '{SEES}', task: image-classification, engine: image_classifier, {exact}, "
        f"source: 'file:{tiny_vision.image_classifier(home / 'resnet')}'}}",
        f"{{name: '{HEARS}', task: automatic-speech-recognition, shape: whisper, engine: whisper, {exact}, "
        f"source: 'file:{tiny_whisper.write(home / 'whisper')}'}}",
        f"{{name: '{READS}', task: text-classification, engine: classifier, {exact}, "
        f"source: 'file:{tiny.sequence_classifier(home / 'reader', ('a', 'b'))}'}}",
        f"{{name: '{RANKS}', task: reranking, engine: reranker, {exact}, "
        f"source: 'file:{tiny_text.cross_encoder(home / 'ranker')}'}}",
        f"{{name: '{CHATS}', task: text-generation, engine: llm, source: 'file:{seer}', {exact}}}",
        f"{{name: '{COMPLETES}', task: text-generation, shape: chat-completion, engine: llm, "
        f"source: 'file:{seer}', {exact}}}",
    ]


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The gateway, with every model loaded that a test may reach."""
    home = tmp_path_factory.mktemp("abuse")
    models = write_models(home / "models.yaml", *rows(home))
    with gateway("--models", str(models), "--home", str(home), "--offline", env={"PYTHONPATH": ROOT}) as server:
        site = Site(server)
        for model, input in WARM.items():
            answer = site.post(model, json=input)
            assert answer.status_code == 200, (model, answer.text)
        site.post(DRAWS_2, files={"prompt": (None, "a")}).raise_for_status()
        site.look()
        yield site
    shutil.rmtree(home, ignore_errors=True)
