"""Bodies of the type multipart/form-data as fields (RFC 7578), within bounds; knows no task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import BadInput

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 64
MAX_HEADERS = 8
MAX_HEADER_BYTES = 4096
MAX_BOUNDARY_BYTES = 70  # RFC 2046, section 5.1.1
TYPE = "multipart/form-data"
Fields = dict[str, str | bytes]


def decode_form(content_type: str, body: bytes) -> Fields:
    """The parts of `body` by name, of equal names the last: files as bytes, all else as text.

    A part is a file if it has a file name or is not UTF-8. The body is walked through once, and never more than
    twice its size is held. Raises `BadInput` for a body that is not whole, or beyond the bounds above.
    """
    form = _Form()
    try:
        parser = MultipartParser(
            _boundary(content_type),
            form.callbacks(),
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadInput(f"the body is not {TYPE}: {str(error)[:120]}") from None
    if not form.is_over:
        raise BadInput(f"the body is not {TYPE}: it ends before its last boundary")
    return form.fields


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != TYPE.encode():
        raise BadInput(f"multipart bodies must be {TYPE}")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadInput(f"the Content-Type {TYPE} needs a boundary of 1 to {MAX_BOUNDARY_BYTES} characters")
    return boundary


@dataclass
class _Form:
    """What the parser has seen: whole fields, and the part it is in."""

    fields: Fields = field(default_factory=dict)
    is_over: bool = False
    _parts: int = 0
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _name: str | None = None
    _is_file: bool = False
    _data: bytearray = field(default_factory=bytearray)

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_begin": self._header_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadInput(f"the body has more than {MAX_PARTS} parts")
        self._name, self._is_file, self._data = None, False, bytearray()

    def _header_begin(self) -> None:
        self._header = bytearray(), bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            _, options = parse_options_header(self._header[1].decode("latin-1"))
            self._name = _text(options.get(b"name"))
            self._is_file = b"filename" in options

    def _headers_finished(self) -> None:
        if self._name is None:
            raise BadInput(f"part {self._parts} of the body has no name")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += memoryview(data)[start:end]

    def _part_end(self) -> None:
        assert self._name is not None
        text = None if self._is_file else _text(self._data)
        self.fields[self._name] = bytes(self._data) if text is None else text
        self._data = bytearray()

    def _end(self) -> None:
        self.is_over = True


def _text(data: bytes | bytearray | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None
