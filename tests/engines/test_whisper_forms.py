"""Whisper behind the partner models' forms: files, samples without a header, and windows of live sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gateway.config import ModelSpec
from gateway.engines.audio import decode
from gateway.engines.espeak import Engine as Espeak
from gateway.engines.whisper import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from tests.engines import media
from tests.engines.speaking import say

NOVA = TASKS.get("automatic-speech-recognition", "nova-3")
NEMOTRON = TASKS.get("automatic-speech-recognition", "nemotron-speech")
MELOTTS = TASKS.get("text-to-speech", "melotts")
TEXT = "The old library on the corner has been closed since March."


@pytest.fixture(scope="module")
def engine(whisper_files: Path) -> Engine:
    return Engine(ModelSpec(name="@local/w", task=NOVA.name, engine="whisper", device="cpu"), NOVA, whisper_files)


@pytest.fixture(scope="module")
def speech(espeak_files: Path) -> np.ndarray:
    """The sentence as 16-bit samples at 16 kHz."""
    espeak = Espeak(ModelSpec(name="@local/e", task=MELOTTS.name, engine="espeak"), MELOTTS, espeak_files)
    (output,) = say(espeak, MELOTTS, [MELOTTS.parse({"prompt": TEXT})])
    espeak.close()
    return (decode(output.audio) * 32767).astype("<i2")


def ask(engine: Engine, task: Any, audio: bytes, **query: Any) -> Any:
    (output,) = engine.run([task.parse_raw(audio, query)])
    return orjson.loads(task.encode(output).body)


def test_a_file_and_its_bare_samples_are_heard_alike(engine: Engine, speech: np.ndarray) -> None:
    file = ask(engine, NOVA, media.wav(speech, 16_000), punctuate="true")
    bare = ask(engine, NOVA, speech.tobytes(), punctuate="true", encoding="linear16", sample_rate="16000")
    assert bare == file
    heard = file["results"]["channels"][0]["alternatives"][0]
    assert {"corner", "closed", "march"} <= {word["word"] for word in heard["words"]}
    assert heard["transcript"].endswith("since March.")
    assert all(0 < word["confidence"] <= 1 and word["start"] <= word["end"] for word in heard["words"])


def test_telephone_samples_are_heard(engine: Engine, speech: np.ndarray) -> None:
    telephone = media.encoded(speech, "mulaw", 16_000)
    samples = telephone[telephone.index(b"data") + 8 :]
    query = {"encoding": "mulaw", "sample_rate": "8000"}
    assert "corner" in ask(engine, NOVA, samples, **query)["results"]["channels"][0]["alternatives"][0]["transcript"]


def test_channels_are_mixed_into_one(engine: Engine, speech: np.ndarray) -> None:
    stereo = np.stack([speech, np.zeros_like(speech)], axis=1).tobytes()
    query = {"encoding": "linear16", "sample_rate": "16000", "channels": "2"}
    channels = ask(engine, NOVA, stereo, **query)["results"]["channels"]
    assert len(channels) == 1
    assert "corner" in channels[0]["alternatives"][0]["transcript"]


def test_channels_are_heard_apart_if_asked_for(engine: Engine, speech: np.ndarray) -> None:
    late = np.concatenate([np.zeros(16_000, np.int16), speech])
    early = np.concatenate([speech, np.zeros(16_000, np.int16)])
    query = {"encoding": "linear16", "sample_rate": "16000", "channels": "3", "multichannel": "true"}
    sound = np.stack([late, np.zeros_like(late), early], axis=1).tobytes()
    results = ask(engine, NOVA, sound, utterances="true", utt_split="5", **query)["results"]
    words = [channel["alternatives"][0]["words"] for channel in results["channels"]]
    assert [bool(heard) for heard in words] == [True, False, True]
    assert words[0][0]["start"] > words[2][0]["start"] + 0.5
    assert [utterance["channel"] for utterance in results["utterances"]] == [2, 0]


def test_channels_share_the_allowance(whisper_files: Path, speech: np.ndarray) -> None:
    spec = ModelSpec(name="@local/w", task=NOVA.name, engine="whisper", device="cpu", options={"max_seconds": 6})
    query = {"encoding": "linear16", "sample_rate": "16000", "channels": "4", "multichannel": "true"}
    sound = np.stack([speech] * 4, axis=1).tobytes()
    (output,) = Engine(spec, NOVA, whisper_files).run([NOVA.parse_raw(sound, query)])
    assert isinstance(output, BadInput)
    assert output.detail == "'/audio' must not last longer than 1.5 seconds"


def test_nemotrons_form(engine: Engine, speech: np.ndarray) -> None:
    answer = ask(engine, NEMOTRON, speech.tobytes(), encoding="linear16")
    assert set(answer) == {"text", "duration"}
    assert "corner" in answer["text"]
    assert answer["duration"] == pytest.approx(len(speech) / 16_000)


def test_a_window_tells_voice_and_words_only_if_somebody_spoke_on(engine: Engine, speech: np.ndarray) -> None:
    pause = np.zeros(8_000, np.int16)
    live = {"encoding": "linear16", "sample_rate": "16000"}
    window = np.concatenate([pause, speech, pause]).tobytes()
    new = ask(engine, NOVA, window, window={}, **live)
    assert "corner" in " ".join(word["text"] for word in new["words"])
    assert new["voice"][0]["start"] == pytest.approx(0.5, abs=0.15)
    assert new["voice"][-1]["end"] == pytest.approx(new["duration"] - 0.5, abs=0.3)
    known = ask(engine, NOVA, window, window={"known_s": new["voice"][-1]["end"]}, **live)
    assert (known["words"], known["voice"]) == (None, new["voice"])
    silent = ask(engine, NOVA, pause.tobytes(), window={}, **live)
    assert (silent["words"], silent["voice"]) == (None, [])


def test_the_first_question_reaches_the_network(engine: Engine) -> None:
    (output,) = engine.run([NOVA.parse(NOVA.canary)])
    assert not isinstance(output, BadInput)
    assert output.transcription_info.language_probability > 0, "without a voice the network is never asked"
