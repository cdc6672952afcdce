"""The partner models' speech forms: what they take, from body or query, and how transcripts are told."""

from __future__ import annotations

import io
import wave
from typing import Any

import orjson
import pytest

from gateway.errors import BadBase64, BadInput
from gateway.tasks import TASKS, Task
from gateway.tasks.speech_nova import language_code
from gateway.tasks.transcript import Segment, Transcript, TranscriptionInfo, Word

NOVA = TASKS.get("automatic-speech-recognition", "nova-3")
NEMOTRON = TASKS.get("automatic-speech-recognition", "nemotron-speech")
AUDIO: dict[str, Any] = {"audio": {"body": "AAAA", "contentType": "audio/wav"}}
NOT_DONE = "is not done by this model, and the transcript would look as if it were"


@pytest.mark.parametrize(
    ("task", "body", "detail"),
    [
        (NOVA, {}, "required properties at '/' are 'audio'"),
        (NOVA, {"audio": "AAAA"}, "required properties at '/audio' are 'body,contentType'"),
        (NOVA, {"audio": [1, 2]}, "required properties at '/audio' are 'body,contentType'"),
        (NOVA, {"audio": {"body": "AAAA"}}, "required properties at '/audio' are 'contentType'"),
        (NOVA, {"audio": {"body": "", "contentType": "audio/wav"}}, "'/audio': the media must not be empty"),
        (NOVA, AUDIO | {"punctuate": "perhaps"}, "Type mismatch of '/punctuate', 'string' not in 'boolean'"),
        (NOVA, AUDIO | {"utt_split": "x"}, "Type mismatch of '/utt_split', 'string' not in 'number'"),
        (NOVA, AUDIO | {"utt_split": "0"}, "'/utt_split' must be >= 0.1"),
        (NOVA, AUDIO | {"channels": "9"}, "'/channels' must be <= 8"),
        (NOVA, AUDIO | {"sample_rate": 1}, "'/sample_rate' must be >= 4000"),
        (NOVA, AUDIO | {"keyterm": ["x"] * 101}, "Length of '/keyterm' must be <= 100"),
        (NOVA, AUDIO | {"encoding": "g729"}, "'/encoding': g729 is not read by this model"),
        (NOVA, AUDIO | {"profanity_filter": "true"}, f"'/profanity_filter': {NOT_DONE}"),
        (NOVA, AUDIO | {"redact": "pci"}, f"'/redact': {NOT_DONE}"),
        (NOVA, AUDIO | {"replace": ["a:b", "c"]}, f"'/replace': {NOT_DONE}"),
        (NEMOTRON, {"audio": {"contentType": "audio/wav"}}, "required properties at '/audio' are 'body'"),
        (NEMOTRON, {"audio": "AAAA", "encoding": "a"}, "'/encoding' must be one of 'wav', 'flac', 'ogg' or 'linear16'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(task: Task, body: Any, detail: str) -> None:
    with pytest.raises(BadInput) as found:
        task.parse(body)
    assert found.value.detail == detail


@pytest.mark.parametrize(("task", "audio"), [(NOVA, {"body": "?", "contentType": "x"}), (NEMOTRON, "?"), (NEMOTRON, 5)])
def test_what_is_no_base64_is_told(task: Task, audio: Any) -> None:
    with pytest.raises(BadBase64):
        task.parse({"audio": audio})


def test_options_that_only_add_something_are_taken() -> None:
    options = dict.fromkeys(("diarize", "sentiment", "topics", "detect_entities", "numerals", "mip_opt_out"), "true")
    NOVA.parse_raw(b"a", {**options, "search": "word", "extra": ["a:b", "c:d"], "redact": None})


def test_the_query_says_what_a_raw_body_cannot_and_a_json_body_has_the_last_word() -> None:
    query = {"language": "de", "punctuate": "true", "keyterm": ["Ada", "Grace"], "queueRequest": "true"}
    raw: Any = NOVA.parse_raw(b"sound", query)
    assert (raw.audio, raw.language, raw.punctuate, raw.keyterm) == (b"sound", "de", True, ["Ada", "Grace"])
    json: Any = NOVA.parse(AUDIO | {"language": "fr"}, query)
    assert (json.audio, json.language, json.punctuate) == (b"\0\0\0", "fr", True)


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "en"), ("en-US", "en"), ("pt_BR", "pt"), ("ZH-hans", "zh"), ("multi", None), (None, None), ("", None)],
)
def test_a_language_tag_becomes_a_code(tag: str | None, code: str | None) -> None:
    assert language_code(tag) == code


def test_terms_are_a_prompt() -> None:
    input: Any = NOVA.parse_raw(b"a", {"keyterm": ["Ada", "Grace"], "keywords": "Hopper:2"})
    assert input.decoding().initial_prompt == "Ada, Grace, Hopper"


@pytest.mark.parametrize("task", [NOVA, NEMOTRON])
def test_samples_without_a_header_get_one_and_files_stay(task: Task) -> None:
    query = {"encoding": "linear16", "sample_rate": "8000", "channels": "2"}
    input: Any = task.parse_raw(b"\1\0\2\0\3\0\4\0", query)
    with wave.open(io.BytesIO(input.file())) as found:
        assert (found.getframerate(), found.getnchannels(), found.getsampwidth()) == (8000, 2, 2)
        assert found.readframes(10) == b"\1\0\2\0\3\0\4\0"
    again: Any = task.parse_raw(input.file(), query)
    assert again.file() == input.file()


SAID = (
    ("Hello,", 0.0, 0.4),
    ("Ada.", 0.5, 0.9),
    ("-", 0.9, 1.0),
    ("It's", 1.0, 1.2),
    ("3.5%.", 1.3, 1.8),
    ("Bye!", 4.0, 4.5),
)


def told(**options: Any) -> Any:
    words = [Word(word=text, start=start, end=end) for text, start, end in SAID]
    info = TranscriptionInfo(language="en", language_probability=0.87654, duration=5, duration_after_vad=5)
    segment = Segment(start=0, end=5, text="", words=words)
    asked = NOVA.parse_raw(b"a", options)
    transcript = Transcript(transcription_info=info, segments=[segment], confidences=[0.5] * len(SAID), asked=asked)
    return orjson.loads(NOVA.encode(transcript).body)["results"]


def test_without_punctuation_words_are_bare() -> None:
    results = told()
    assert set(results) == {"channels"}
    assert set(results["channels"][0]) == {"alternatives"}
    heard = results["channels"][0]["alternatives"][0]
    assert set(heard) == {"transcript", "confidence", "words"}
    assert (heard["transcript"], heard["confidence"]) == ("hello ada it's 3.5 bye", 0.5)
    assert heard["words"][1] == {"word": "ada", "start": 0.5, "end": 0.9, "confidence": 0.5}


@pytest.mark.parametrize("option", ["punctuate", "smart_format", "dictation"])
def test_punctuation_is_kept_where_it_is_asked_for(option: str) -> None:
    heard = told(**{option: "true"})["channels"][0]["alternatives"][0]
    assert heard["transcript"] == "Hello, Ada. It's 3.5%. Bye!"
    assert (heard["words"][0]["word"], heard["words"][0]["punctuated_word"]) == ("hello", "Hello,")


def test_utterances_end_at_pauses() -> None:
    for split, texts in (("0.8", ["hello ada it's 3.5", "bye"]), ("3", ["hello ada it's 3.5 bye"])):
        utterances = told(utterances="true", utt_split=split)["utterances"]
        assert [utterance["transcript"] for utterance in utterances] == texts
    assert (utterances[0]["start"], utterances[0]["end"], utterances[0]["channel"]) == (0.0, 4.5, 0)


def test_paragraphs_hold_sentences() -> None:
    found = told(paragraphs="true")["channels"][0]["alternatives"][0]["paragraphs"]
    assert found["transcript"] == "Hello, Ada. It's 3.5%.\n\nBye!"
    assert [paragraph["num_words"] for paragraph in found["paragraphs"]] == [4, 1]
    assert found["paragraphs"][0]["sentences"] == [
        {"text": "Hello, Ada.", "start": 0.0, "end": 0.9},
        {"text": "It's 3.5%.", "start": 1.0, "end": 1.8},
    ]


def test_a_detected_language_is_told() -> None:
    channel = told(detect_language="true", language="fr")["channels"][0]
    assert (channel["detected_language"], channel["language_confidence"]) == ("en", 0.8765)
