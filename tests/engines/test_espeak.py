"""espeak-ng says what it is told, literally, in the asked language, voice and encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.espeak import Engine
from gateway.errors import BadInput, ModelUnavailable
from gateway.tasks import TASKS, Answer
from gateway.tasks.text_to_speech import Encoding, Speaker, SpeechOutput
from tests.engines.speaking import say

JITTER_S = 0.05  # the synthesiser adds a little chance to every run
MELOTTS, AURA = TASKS.get("text-to-speech", "melotts"), TASKS.get("text-to-speech", "aura")


def spec(**options: Any) -> ModelSpec:
    return ModelSpec(name="@local/espeak-ng", task=MELOTTS.name, engine="espeak", options=options)


@pytest.fixture(scope="module")
def engine(espeak_files: Path) -> Iterator[Engine]:
    engine = Engine(spec(), MELOTTS, espeak_files)
    yield engine
    engine.close()


def melotts(engine: Engine, prompt: str, **fields: Any) -> SpeechOutput:
    (output,) = say(engine, MELOTTS, [MELOTTS.parse({"prompt": prompt, **fields})])
    assert isinstance(output, SpeechOutput)
    return output


def aura(engine: Engine, text: str, **fields: Any) -> SpeechOutput:
    (output,) = say(engine, MELOTTS, [AURA.parse({"text": text, **fields})])
    assert isinstance(output, SpeechOutput)
    return output


def seconds(output: SpeechOutput) -> float:
    return len(decode(output.audio)) / 16_000


@pytest.mark.parametrize("encoding", get_args(Encoding))
def test_every_encoding_holds_the_same_speech(engine: Engine, encoding: str) -> None:
    said = aura(engine, "Good morning, this is a test.", encoding=encoding)
    plain = aura(engine, "Good morning, this is a test.")
    assert seconds(said) == pytest.approx(seconds(plain), abs=0.15)
    assert np.abs(decode(said.audio)).max() > 0.1


def test_longer_texts_take_longer(engine: Engine) -> None:
    assert seconds(melotts(engine, "One, two, three. " * 10)) > 5 * seconds(melotts(engine, "One, two, three."))


SPELLINGS = {
    "en-us": ["en", "EN", "EN_US", "en-AU", "EN_INDIA"],
    "en-gb": ["EN-BR", "en_gb"],
    "cmn": ["zh", "ZH", "zh-CN"],
    "ja": ["jp", "JP"],
    "ko": ["kr", "KR"],
    "de": ["de-DE", " DE "],
}


@pytest.mark.parametrize("tag", SPELLINGS)
def test_a_language_may_be_spelt_in_many_ways(engine: Engine, tag: str) -> None:
    assert {engine.voice(spelling, None) for spelling in SPELLINGS[tag]} == {engine.voice(tag, None)}


def test_languages_sound_different(engine: Engine) -> None:
    languages = ("en", "en-gb", "es", "fr", "de", "zh", "ja", "ko")
    assert len({engine.voice(lang, None) for lang in languages}) == len(languages)
    french, german = (seconds(melotts(engine, "1234567890", lang=lang)) for lang in ("fr", "de"))
    assert german > french + 1


@pytest.mark.parametrize("lang", ["xx", "klingon", "-", "../en", "en+f1"])
def test_an_unknown_language_is_refused_and_its_neighbour_is_not(engine: Engine, lang: str) -> None:
    bad, good = say(engine, MELOTTS, [MELOTTS.parse({"prompt": "Hi", "lang": lang}), MELOTTS.parse({"prompt": "Hi"})])
    assert isinstance(bad, BadInput)
    assert bad.detail.startswith("'/lang' must be a language")
    assert seconds(good) == pytest.approx(seconds(melotts(engine, "Hi")), abs=JITTER_S)


def pitch_hz(output: SpeechOutput) -> float:
    """The middle of the strongest repetitions between 70 and 350 Hz of all loud stretches, by autocorrelation."""
    found = []
    for window in np.lib.stride_tricks.sliding_window_view(decode(output.audio), 1024)[::512]:
        repeats = np.fft.irfft(np.abs(np.fft.rfft(window * np.hanning(1024), 2048)) ** 2)
        period = 46 + int(np.argmax(repeats[46:229]))
        if np.abs(window).max() > 0.1 and repeats[period] > repeats[0] / 2:
            found.append(16_000 / period)
    return float(np.median(found))


def test_every_speaker_has_a_voice_of_its_own(engine: Engine, espeak_files: Path) -> None:
    voices = {speaker: engine.voice("en", speaker) for speaker in get_args(Speaker)}
    assert len(set(voices.values())) == len(voices) == 12
    for voice in voices.values():
        assert (espeak_files / "espeak-ng-data" / "voices" / "!v" / voice.partition("+")[2]).is_file()


def test_men_speak_lower_than_women(engine: Engine) -> None:
    women = {"asteria", "athena", "hera", "luna", "stella"}
    pitch = {
        speaker: pitch_hz(aura(engine, "Hello there, my friend. The weather is fine.", speaker=speaker))
        for speaker in get_args(Speaker)
    }
    men = [pitch[speaker] for speaker in pitch if speaker not in women]
    assert max(men) < min(pitch[speaker] for speaker in women), pitch


def test_a_request_leaves_nothing_behind(engine: Engine) -> None:
    alone = seconds(melotts(engine, "1234567890"))
    for lang in ("de", "ja"):
        melotts(engine, "1234567890", lang=lang)
    assert seconds(melotts(engine, "1234567890")) == pytest.approx(alone, abs=JITTER_S)


def test_an_encoding_that_cannot_be_is_refused(engine: Engine) -> None:
    (output,) = say(engine, MELOTTS, [AURA.parse({"text": "Hi", "encoding": "mp3", "container": "wav"})])
    assert isinstance(output, BadInput)
    assert output.detail.startswith("'/container' ")


@pytest.mark.parametrize(
    ("text", "plain"),
    [("one\0two", "one two"), ("\x01990Pone two", " 990Pone two"), ("one\x7f\x1b two", "one two")],
    ids=["NUL", "command", "escape"],
)
def test_control_characters_are_spaces(engine: Engine, text: str, plain: str) -> None:
    assert seconds(melotts(engine, text)) == pytest.approx(seconds(melotts(engine, plain)), abs=JITTER_S)


@pytest.mark.parametrize("text", ["<break time='9s'/>", "[[h@l'oU]]", "<audio src='file:///etc/passwd'/>"])
def test_markup_is_read_out(engine: Engine, text: str) -> None:
    inner = text.strip("<>[]/ ")
    assert seconds(melotts(engine, inner)) * 0.5 < seconds(melotts(engine, text)) < 8


@pytest.mark.parametrize("text", ["...", " ", "\n\n", "\x01", "\U000e0001"])
def test_a_text_without_words_is_a_valid_short_file(engine: Engine, text: str) -> None:
    assert 0 < seconds(melotts(engine, text)) < 1


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("zh", "你好，世界"),
        ("ja", "こんにちは"),
        ("ko", "안녕하세요"),
        ("ru", "Привет"),
        ("ar", "مرحبا"),
        ("hi", "नमस्ते"),
        ("en", "👍"),
    ],
)
def test_other_scripts_are_spoken(engine: Engine, lang: str, text: str) -> None:
    said = decode(melotts(engine, text, lang=lang).audio)
    assert len(said) > 0.3 * 16_000
    assert np.abs(said).max() > 0.1


def test_the_contract_answers_are_base64_and_raw_audio(engine: Engine) -> None:
    answer = MELOTTS.encode(melotts(engine, "Hello"))
    assert answer.body.startswith(b'{"audio":"')
    raw = AURA.encode(aura(engine, "Hello", encoding="flac"))
    assert isinstance(raw, Answer)
    assert (raw.media_type, raw.body[:4]) == ("audio/flac", b"fLaC")


def test_speech_beyond_the_bound_is_refused_by_the_requests_own_field(engine: Engine, espeak_files: Path) -> None:
    engine.close()
    short = Engine(spec(max_seconds=2), MELOTTS, espeak_files)
    inputs = [
        MELOTTS.parse({"prompt": "Hi"}),
        MELOTTS.parse({"prompt": "nine " * 50}),
        AURA.parse({"text": "nine " * 50}),
    ]
    good, *bad = say(short, MELOTTS, inputs)
    assert isinstance(good, SpeechOutput)
    assert [error.detail for error in bad] == [
        "'/prompt' must not take longer than 2 seconds to say",
        "'/text' must not take longer than 2 seconds to say",
    ]
    short.close()
    engine.__init__(spec(), MELOTTS, espeak_files)  # type: ignore[misc]


def test_missing_files_and_misspelt_options_are_named(tmp_path: Path, espeak_files: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"libespeak-ng\.so\.1"):
        Engine(spec(), MELOTTS, tmp_path)
    with pytest.raises(ConfigError, match=r"max_second\b"):
        Engine(spec(max_second=3), MELOTTS, espeak_files)
