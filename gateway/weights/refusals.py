"""Files that could run code when a model is loaded; knows no source and no store, only names and bytes.

The classes come from public advisories on model loaders: pickles, Python beside the weights, configurations
that name code to fetch, native libraries, links out of the folder.
"""

from __future__ import annotations

import json
import pickletools
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

_CODE = re.compile(r"\.(py|pyc|pyo|pyw|pyz|pyi)$", re.IGNORECASE)
_PICKLE = re.compile(r"\.(pt|pth|pkl|pickle|ckpt|joblib|dill)$", re.IGNORECASE)
_NATIVE = re.compile(r"\.(so(\.\d+)*|dll|dylib|pyd)$", re.IGNORECASE)
_MACH_O = ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe")
_EXECUTABLE_HEADS = (b"\x7fELF", *(bytes.fromhex(head) for head in _MACH_O))
_OPCODES = frozenset(ord(opcode.code) for opcode in pickletools.opcodes)
_CODE_KEYS = ("auto_map", "custom_pipeline", "trust_remote_code")
_ZIP_HEAD = b"PK\x03\x04"


def name_faults(names: Sequence[str], *, native: bool) -> Iterator[str]:
    """What is wrong with a snapshot of these names, as sentences; `native`: shared libraries are vouched for."""
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            yield f"{name} would leave its folder"
        elif _CODE.search(name):
            yield f"{name} is Python code"
        elif _PICKLE.search(name):
            yield f"{name} is a pickle, which can run code when it is read"
        elif _NATIVE.search(name) and not native:
            yield f"{name} is a native library and the row does not vouch for it with pinned hashes"
        elif path.suffix.lower() == ".bin" and not _is_known_binary(path, names):
            yield f"{name} may be a pickle: of .bin files only CTranslate2's model.bin and OpenVINO's pairs are taken"


def _is_known_binary(path: PurePosixPath, names: Sequence[str]) -> bool:
    return path.name == "model.bin" or str(path.with_suffix(".xml")) in names


def content_faults(files: Mapping[str, Path], *, native: bool) -> Iterator[str]:
    """What is wrong with the bytes of these files, as sentences."""
    for name, path in files.items():
        if not stat.S_ISREG(path.stat().st_mode):
            yield f"{name} is not a regular file"
        elif fault := _fault_of_bytes(name, path, native=native):
            yield fault
        elif name.lower().endswith(".json") and (fault := _fault_of_json(PurePosixPath(name).name, path)):
            yield f"{name} {fault}"


def link_faults(root: Path, files: Mapping[str, Path]) -> Iterator[str]:
    """Links among these files that leave `root` or lead nowhere, as sentences."""
    home = root.resolve()
    for name, path in files.items():
        if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(home)):
            yield f"{name} is a link that leaves the folder"


def is_native(name: str, path: Path) -> bool:
    """Whether the file is a shared library, by its name or its bytes."""
    with path.open("rb") as file:
        return bool(_NATIVE.search(name)) or _is_executable(file.read(4096), path)


def _fault_of_bytes(name: str, path: Path, *, native: bool) -> str | None:
    with path.open("rb") as file:
        head = file.read(4096)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".safetensors":
        return None if head[8:9] == b"{" else f"{name} is not a safetensors file"
    if suffix == ".gguf":
        return None if head.startswith(b"GGUF") else f"{name} is not a GGUF file"
    if _is_executable(head, path) and not native:
        return f"{name} is a native library or program and the row does not vouch for it with pinned hashes"
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5 and head[2] in _OPCODES:
        return f"{name} is a pickle, which can run code when it is read"
    if head.startswith(_ZIP_HEAD) and (suffix in (".bin", ".model") or _holds_pickle(path)):
        return f"{name} is a zip file as torch writes them, with a pickle inside"
    return None


def _is_executable(head: bytes, path: Path) -> bool:
    if head.startswith(_EXECUTABLE_HEADS):
        return True
    if not head.startswith(b"MZ") or len(head) < 64:
        return False
    with path.open("rb") as file:
        file.seek(int.from_bytes(head[60:64], "little"))
        return file.read(4) == b"PE\0\0"


def _holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_PICKLE.search(name) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _fault_of_json(name: str, path: Path) -> str | None:
    """What follows the file's name in a sentence. Vocabularies may hold any word as a key of a number."""
    try:
        document = _parse_json(path.read_bytes())
    except (ValueError, RecursionError):
        return "is not JSON, so it cannot be checked"
    if key := _code_key(document):
        return f"has the key `{key}`, which makes loaders run code"
    if name == "modules.json" and isinstance(document, list):
        for module in document:
            kind = str(module.get("type", "")) if isinstance(module, dict) else ""
            if not kind.startswith("sentence_transformers."):
                return f"names the class `{kind}`, which is not one of sentence-transformers' own"
    return None


def _parse_json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # The standard parser also takes NaN and Infinity, as the libraries that read these files do.
        return json.loads(raw)


def _code_key(value: Any) -> str | None:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for key in _CODE_KEYS:
                if key in node and type(node[key]) is not int:
                    return key
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return None
