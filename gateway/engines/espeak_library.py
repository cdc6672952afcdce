"""espeak-ng's shared library as Python sees it: voices by language, samples by text; knows no engine and no request."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway.errors import ModelUnavailable

_NAMES = ("libespeak-ng.so.1", "libespeak-ng.so", "libespeak-ng.1.dylib", "libespeak-ng.dylib", "espeak-ng.dll")
_SYNCHRONOUS, _DO_NOT_EXIT, _UTF8, _IPA = 2, 0x8000, 1, 2
_CHUNK_MS = 500
# espeak-ng takes \x01 for the start of a command and \x00 for the end of the text.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """The head of `espeak_VOICE` in speak_lib.h; the library owns the rest."""

    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
    ]


class Library:
    """The library with its data, for one thread; it has one state per process, so one `Library` at a time."""

    def __init__(self, files: Path) -> None:
        """Start the library in `files`, beside its data; raises `ModelUnavailable` if either is missing."""
        self._c = _load(files)
        self.rate_hz: int = self._c.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, bytes(files), _DO_NOT_EXIT)
        if self.rate_hz <= 0:
            raise ModelUnavailable("espeak-ng finds no data among its files (it reads no path beyond 140 bytes)")
        self.voices = _voices(self._c)
        self._samples = bytearray()
        self._limit_bytes = 0
        self._callback = _Callback(self._receive)
        self._c.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, max_seconds: float) -> NDArray[np.int16]:
        """Samples, shape (n,), at `rate_hz`, of `text` taken literally: neither markup nor commands are obeyed.

        `voice` is a value of `voices`, with `+variant` after it if wanted. What takes longer than `max_seconds` is
        broken off, a little beyond that. Raises `ModelUnavailable` for a voice that cannot be loaded.
        """
        self._choose(voice)
        self._samples, self._limit_bytes = bytearray(), 2 * int(max_seconds * self.rate_hz)
        literal = _UNSPEAKABLE.sub(" ", text).encode() + b"\0"
        self._c.espeak_Synth(literal, len(literal), 0, 1, 0, _UTF8, None, None)
        return np.frombuffer(self._samples, np.int16)

    def phonemes(self, text: str, voice: str) -> str:
        """How `text` is pronounced in IPA, its clauses parted by spaces; raises as `speak` does."""
        self._choose(voice)
        rest = ctypes.c_char_p(_UNSPEAKABLE.sub(" ", text).encode())
        clauses = []
        while rest.value is not None:
            clauses.append(self._c.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA).decode().strip())
        return " ".join(filter(None, clauses))

    def _choose(self, voice: str) -> None:
        if self._c.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ModelUnavailable(f"espeak-ng cannot load its voice {voice}")

    def stop(self) -> None:
        """Free the voices, so that another `Library` can be started in this process."""
        self._c.espeak_Terminate()

    def _receive(self, samples: int | None, count: int, _events: int | None) -> int:
        """Take the next samples; anything but 0 ends the synthesis."""
        if samples and count > 0:
            self._samples += ctypes.string_at(samples, 2 * count)
        return int(len(self._samples) > self._limit_bytes)


def _load(files: Path) -> ctypes.CDLL:
    """The library among `files`, with the signatures of speak_lib.h."""
    path = next((files / name for name in _NAMES if (files / name).is_file()), None)
    if path is None:
        raise ModelUnavailable(f"none of {', '.join(_NAMES)} is among the model's files")
    library = ctypes.CDLL(str(path))
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    position = [ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint]
    library.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *position, ctypes.c_void_p, ctypes.c_void_p]
    return library


def _voices(library: ctypes.CDLL) -> dict[str, str]:
    """Identifiers of voices by lower-case language tag; the voice that ranks a tag highest has it."""
    best: dict[str, tuple[int, str]] = {}
    listed = library.espeak_ListVoices(None)
    index = 0
    while listed[index]:
        voice = listed[index].contents
        for rank, tag in _languages(voice.languages):
            best[tag] = min(best.get(tag, (256, "")), (rank, voice.identifier.decode()))
        index += 1
    return {tag: identifier for tag, (_, identifier) in best.items()}


def _languages(address: int) -> list[tuple[int, str]]:
    """Pairs of rank (lower is better) and tag from a list of `rank byte, tag, NUL` that ends with a zero byte."""
    found = []
    while rank := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        found.append((rank, tag.decode().lower()))
        address += len(tag) + 2
    return found
