"""Named after what has gone wrong in model loaders: pickles, code beside weights, code named by configurations."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from gateway.weights.errors import WeightsRefused
from gateway.weights.lock import Lock, Pin, Snapshot
from gateway.weights.store import Store
from tests.weights.conftest import row


def torch_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return file.getvalue()


PE = b"MZ".ljust(60, b"\0") + (64).to_bytes(4, "little") + b"PE\0\0"
PICKLE_PROTOCOLS = [pickle.dumps({"weight": [1.0]}, protocol=protocol) for protocol in (2, 3, 4, 5)]

REFUSED: dict[str, dict[str, bytes]] = {
    "modeling_x.py": {"modeling_x.py": b"print()"},
    "Setup.PY": {"Setup.PY": b""},
    "pytorch_model.bin": {"pytorch_model.bin": b"anything"},
    "model.pt": {"model.pt": b""},
    "deep/down/model.ckpt": {"deep/down/model.ckpt": b""},
    "head.joblib": {"head.joblib": b""},
    "spiece.model": {"spiece.model": torch_zip()},
    "vocabulary": {"vocabulary": torch_zip()},
    "model.bin": {"model.bin": PICKLE_PROTOCOLS[0], "config.json": b"{}"},
    "openvino_model.bin": {"openvino_model.bin": torch_zip(), "openvino_model.xml": b"<net/>"},
    "other.bin": {"other.bin": b"plain", "openvino_model.xml": b"<net/>"},
    "model.safetensors": {"model.safetensors": PICKLE_PROTOCOLS[1]},
    "model.gguf": {"model.gguf": PICKLE_PROTOCOLS[2]},
    "data": {"data": PICKLE_PROTOCOLS[3]},
    "config.json": {"config.json": json.dumps({"a": [{"auto_map": {"AutoModel": "x.Y"}}]}).encode()},
    "tokenizer_config.json": {"tokenizer_config.json": b'{"\\u0061uto_map": {}}'},
    "model_index.json": {"model_index.json": b'{"custom_pipeline": "org/code"}'},
    "nested/config.json": {"nested/config.json": b'{"trust_remote_code": true}'},
    "generation_config.json": {"generation_config.json": b"{not json"},
    "modules.json": {"modules.json": b'[{"type": "os.system", "path": ""}]'},
    "libx.so.1": {"libx.so.1": b"text"},
    "plugin": {"plugin": b"\x7fELF" + bytes(60)},
    "tool": {"tool": PE},
    "x.dylib": {"x.dylib": b""},
    "mach": {"mach": b"\xcf\xfa\xed\xfe" + bytes(60)},
}

ACCEPTED: dict[str, dict[str, bytes]] = {
    "safetensors": {"model.safetensors": (2).to_bytes(8, "little") + b"{}", "config.json": b'{"x": 1}'},
    "gguf": {"model.gguf": b"GGUF" + bytes(60)},
    "CTranslate2": {"model.bin": (6).to_bytes(4, "little") + b"\x0b\0Whisper", "config.json": b"{}"},
    "OpenVINO": {"openvino_model.bin": bytes(64), "openvino_model.xml": b"<net/>"},
    "NaN in a configuration": {"config.json": b'{"limit": NaN}'},
    "a vocabulary with the word": {"vocab.json": b'{"auto_map": 17}'},
    "sentence-transformers' own modules": {"modules.json": b'[{"type": "sentence_transformers.models.Pooling"}]'},
    "texts": {"README.md": b"MZ and PK", "vocab.txt": b"[PAD]\n"},
}


def lay(root: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_names_the_file(name: str, tmp_path: Path, store: Store) -> None:
    folder = lay(tmp_path / "model", REFUSED[name])
    with pytest.raises(WeightsRefused, match="@local/tiny are refused: ") as caught:
        store.path(row(f"file:{folder}"))
    assert name in str(caught.value)


@pytest.mark.parametrize("form", ACCEPTED)
def test_takes_what_cannot_run_code(form: str, tmp_path: Path, store: Store) -> None:
    folder = lay(tmp_path / "model", ACCEPTED[form])
    assert store.path(row(f"file:{folder}")) == folder


def test_refuses_a_lone_file_by_its_own_name(tmp_path: Path, store: Store) -> None:
    file = lay(tmp_path, {"model.pth": b""}) / "model.pth"
    with pytest.raises(WeightsRefused, match=r"model\.pth is a pickle"):
        store.path(row(f"file:{file}"))


@pytest.mark.parametrize("target", ["../outside.json", "/etc", "nowhere"])
def test_refuses_a_link_that_leaves_the_folder(target: str, tmp_path: Path, store: Store) -> None:
    lay(tmp_path, {"outside.json": b"{}"})
    folder = lay(tmp_path / "model", {"config.json": b"{}"})
    (folder / "linked").symlink_to(target)
    with pytest.raises(WeightsRefused, match="linked is a link that leaves the folder"):
        store.path(row(f"file:{folder}"))


def test_takes_a_link_that_stays_in_the_folder(tmp_path: Path, store: Store) -> None:
    folder = lay(tmp_path / "model", {"config.json": b"{}"})
    (folder / "linked.json").symlink_to("config.json")
    assert store.path(row(f"file:{folder}")) == folder


def test_refuses_what_is_not_a_regular_file(tmp_path: Path, store: Store) -> None:
    folder = lay(tmp_path / "model", {})
    folder.mkdir()
    os.mkfifo(folder / "pipe.json")
    with pytest.raises(WeightsRefused, match=r"pipe\.json is not a regular file"):
        store.path(row(f"file:{folder}"))


class TestNativeLibraries:
    BODY = b"\x7fELF" + bytes(60)

    def pinned(self, folder: Path, body: bytes) -> Lock:
        pin = Pin(sha256=hashlib.sha256(body).hexdigest(), size=len(body))
        return Lock(snapshots={"x": Snapshot(source=f"file:{folder}", revision="1", files={"libx.so.1": pin})})

    @pytest.mark.parametrize(
        ("is_vouched_for", "pinned_body", "fault"),
        [
            (True, BODY, None),
            (False, BODY, "the row does not vouch for it"),
            (True, None, "the row does not vouch for it"),
            (True, b"another", "is not the file that models.lock pins"),
        ],
    )
    def test_need_the_row_and_the_lock(
        self, is_vouched_for: bool, pinned_body: bytes | None, fault: str | None, tmp_path: Path, home: Path
    ) -> None:
        folder = lay(tmp_path / "model", {"libx.so.1": self.BODY})
        pinned = self.pinned(folder, pinned_body) if pinned_body is not None else None
        store = Store(home, pinned=pinned)
        spec = row(f"file:{folder}", native_library=is_vouched_for)
        if fault is None:
            assert store.path(spec) == folder
        else:
            with pytest.raises(WeightsRefused, match=rf"libx\.so\.1 .*{fault}"):
                store.path(spec)
