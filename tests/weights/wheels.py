"""Small wheels, built in memory."""

from __future__ import annotations

import io
import zipfile

BODY = bytes(range(256)) * 4096


def wheel_name(dist: str, version: str = "1.0", tag: str = "py3-none-any") -> str:
    return f"{dist.replace('-', '_')}-{version}-{tag}.whl"


def build_wheel(
    dist: str, members: dict[str, bytes], version: str = "1.0", links: tuple[str, ...] = (), packed: bool = False
) -> bytes:
    """A wheel with these members; `links` are members marked as symbolic links to their text."""
    info = f"{dist.replace('-', '_')}-{version}.dist-info"
    described = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, body in (members | described).items():
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            entry.external_attr = (0o120777 if name in links else 0o100644) << 16
            archive.writestr(entry, body)
    return file.getvalue()
