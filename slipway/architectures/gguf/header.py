"""The header itself: key-value pairs and tensor descriptions. Every count is checked against the bytes that are there
before anything is made of it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from slipway.architectures.gguf.types import REMOVED, TYPES, GgmlType
from slipway.errors import SizingError
from slipway.units import about_bytes, quoted

MAX_HEADER = 128 * 2**20
"""bytes; real ones, with a vocabulary of 262,144 tokens and their merges, stay below 20 MiB"""
MAX_PAIRS = 10_000
MAX_TENSORS = 200_000
MAX_STRINGS = 4_000_000
"""elements of arrays that have to be walked one by one"""
MAX_KEY = 65_535
MAX_NAME = 256
"""of a tensor; the format allows 64 bytes, and some builds write 128"""
KEPT_TEXT = 4096
KEPT_ARRAY = 10_000
"""longer values are skipped: token lists and templates say nothing of sizes"""
MAX_DEPTH = 4

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

FIX = "Download the file again, or convert the model again"


class ShortHeaderError(SizingError):
    """The bytes given end before the header does. `needed` of them are the least that get further."""

    def __init__(self, needed: int, given: int, where: str) -> None:
        super().__init__(
            f"the header goes on past the {given} bytes given: it needs at least {needed}",
            where=where,
            fix=f"Read at least the first {needed} bytes",
        )
        self.needed = needed


@dataclass(frozen=True)
class Skipped:
    """A value that is not kept: a long text, or an array of `count` texts."""

    count: int


Value = bool | int | float | str | list[bool] | list[int] | list[float] | Skipped


@dataclass(frozen=True)
class Tensor:
    name: str
    dimensions: tuple[int, ...]
    """the fastest-changing first: a matrix is (inputs, outputs)"""
    type: GgmlType
    elements: int
    size: int
    """bytes"""


@dataclass(frozen=True)
class Header:
    metadata: Mapping[str, Value]
    tensors: Mapping[str, Tensor]


def read_header(head: bytes, *, where: str, file_bytes: int) -> Header:
    """The header in the first bytes of a file of `file_bytes`. Versions 1 to 3, little endian.

    Raises ShortHeaderError where `head` ends too early, and SizingError for what is no sound GGUF file.
    """
    if file_bytes < len(head):
        raise SizingError(f"the file has {file_bytes} bytes, but {len(head)} were read of it", where=where, fix=FIX)
    reader = _Reader(head, where, file_bytes)
    if reader.take(4) != b"GGUF":
        raise SizingError("no GGUF file: it does not start with GGUF", where=where, fix="Name a .gguf file")
    version = reader.number("I")
    if version not in (1, 2, 3):
        if version & 0xFFFF == 0:
            what = "a big-endian GGUF file"
            raise SizingError(what, where=where, fix="Convert it with gguf-convert-endian of the gguf package")
        reader.damaged(f"GGUF version {version} is none of 1, 2, 3")
    # Version 1 counted in 32 bits.
    reader.long = "I" if version == 1 else "Q"
    width = struct.calcsize(f"<{reader.long}")
    tensor_count = reader.count("tensors", MAX_TENSORS, least_bytes=width + 16)
    pair_count = reader.count("key-value pairs", MAX_PAIRS, least_bytes=width + 5)
    metadata: dict[str, Value] = {}
    for _ in range(pair_count):
        key = reader.text("key", MAX_KEY)
        if key in metadata:
            reader.damaged(f"key {quoted(key)} is there twice")
        metadata[key] = reader.value(reader.number("I"), key, MAX_DEPTH)
    tensors: dict[str, Tensor] = {}
    ends: list[tuple[int, str]] = []
    alignment = _alignment(metadata, reader)
    for _ in range(tensor_count):
        tensor, offset = _tensor(reader)
        if tensor.name in tensors:
            reader.damaged(f"tensor {quoted(tensor.name)} is there twice")
        if offset % alignment:
            reader.damaged(f"tensor {quoted(tensor.name)} starts at {offset}, no multiple of {alignment}")
        tensors[tensor.name] = tensor
        ends.append((offset + tensor.size, tensor.name))
    start = -(-reader.position // alignment) * alignment
    if ends:
        end, name = max(ends)
        total = sum(tensor.size for tensor in tensors.values())
        if start + max(end, total) > file_bytes:
            raise SizingError(
                f"tensors up to {quoted(name)} need {start + max(end, total)} bytes, the file has {file_bytes}: "
                "it is cut short",
                where=where,
                fix=FIX,
            )
    return Header(metadata, tensors)


def _alignment(metadata: Mapping[str, Value], reader: _Reader) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 2**20 or alignment % 8:
        reader.damaged(f"general.alignment is {quoted(alignment)}, no multiple of 8 up to a MiB")
    return alignment


def _tensor(reader: _Reader) -> tuple[Tensor, int]:
    """One tensor's description, and where its data start."""
    name = reader.text("tensor name", MAX_NAME)
    rank = reader.number("I")
    if rank > 4:
        reader.damaged(f"tensor {quoted(name)} has {rank} dimensions, more than 4")
    dimensions = tuple(reader.number(reader.long) for _ in range(rank))
    number = reader.number("I")
    kind = TYPES.get(number)
    if kind is None:
        known = (
            f"{REMOVED[number]}, which llama.cpp no longer reads" if number in REMOVED else f"the unknown type {number}"
        )
        raise SizingError(f"tensor {quoted(name)} has {known}", where=reader.where, fix="Convert the model again")
    elements = 1
    for dimension in dimensions:
        elements *= dimension
    if elements == 0:
        reader.damaged(f"tensor {quoted(name)} has no elements")
    row = dimensions[0] if dimensions else 1
    if row % kind.block:
        reader.damaged(f"tensor {quoted(name)} has rows of {row}, no multiple of {kind.name}'s {kind.block}")
    offset = reader.number("Q")
    return Tensor(name, dimensions, kind, elements, elements // kind.block * kind.size), offset


class _Reader:
    """A place in the header. Nothing is allocated for a length before the bytes it speaks of are known to be there."""

    def __init__(self, head: bytes, where: str, file_bytes: int) -> None:
        self.head = head
        self.where = where
        self.file_bytes = file_bytes
        self.position = 0
        self.long = "Q"
        self.walked = 0

    def damaged(self, what: str) -> NoReturn:
        raise SizingError(f"{what} (byte {self.position}): the header is damaged", where=self.where, fix=FIX)

    def skip(self, size: int) -> int:
        """Moves past `size` bytes, and says where they start."""
        start, end = self.position, self.position + size
        if end > len(self.head):
            if end > self.file_bytes:
                self.damaged(f"{size} bytes are announced, and the file has {self.file_bytes - start} more")
            if end > MAX_HEADER:
                self.damaged(f"a header of more than {about_bytes(MAX_HEADER)}")
            raise ShortHeaderError(end, len(self.head), self.where)
        self.position = end
        return start

    def take(self, size: int) -> bytes:
        start = self.skip(size)
        return self.head[start : start + size]

    def number(self, code: str) -> int:
        layout = f"<{code}"
        found: int = struct.unpack_from(layout, self.head, self.skip(struct.calcsize(layout)))[0]
        return found

    def count(self, what: str, most: int, least_bytes: int) -> int:
        """A number of things, of `least_bytes` each at the least."""
        found = self.number(self.long)
        if found > most:
            self.damaged(f"{found} {what} are more than {most}")
        if found * least_bytes > self.file_bytes - self.position:
            self.damaged(f"{found} {what} do not fit into the file's {self.file_bytes} bytes")
        return found

    def text(self, what: str, most: int) -> str:
        """A short text in ASCII, as keys and names are."""
        length = self.number(self.long)
        if length > most:
            self.damaged(f"a {what} of {length} bytes is longer than {most}")
        try:
            return self.take(length).decode("ascii")
        except UnicodeDecodeError:
            self.damaged(f"a {what} is no ASCII")

    def value(self, kind: int, key: str, depth: int) -> Value:
        """The value of `key`, of one of the format's types."""
        if kind in SCALARS:
            layout = f"<{SCALARS[kind]}"
            raw = self.take(struct.calcsize(layout))
            if kind == 7 and raw not in (b"\0", b"\1"):
                self.damaged(f"{quoted(key)} is {raw[0]}, neither true nor false")
            found: bool | int | float = struct.unpack(layout, raw)[0]
            return found
        if kind == STRING:
            length = self.number(self.long)
            if length > KEPT_TEXT:
                self.skip(length)
                return Skipped(length)
            return self.take(length).decode("utf-8", "replace")
        if kind != ARRAY:
            self.damaged(f"{quoted(key)} has the unknown type {kind}")
        return self._array(key, depth)

    def _array(self, key: str, depth: int) -> Value:
        kind, count = self.number("I"), self.number(self.long)
        if kind in SCALARS:
            layout = SCALARS[kind]
            start = self.skip(count * struct.calcsize(f"<{layout}"))
            return (
                Skipped(count)
                if count > KEPT_ARRAY
                else list(struct.unpack_from(f"<{count}{layout}", self.head, start))
            )
        if kind not in (STRING, ARRAY):
            self.damaged(f"{quoted(key)} is an array of the unknown type {kind}")
        self.walked += count
        if self.walked > MAX_STRINGS:
            self.damaged(f"{quoted(key)} has {count} elements, which makes more than {MAX_STRINGS}")
        if depth == 0:
            self.damaged(f"{quoted(key)} is nested more than {MAX_DEPTH} deep")
        if kind == STRING:
            self._skip_texts(count)
        else:
            for _ in range(count):
                self._array(key, depth - 1)
        return Skipped(count)

    def _skip_texts(self, count: int) -> None:
        """Past an array of texts: hundreds of thousands of tokens, so without a call for each."""
        unpack = struct.Struct(f"<{self.long}").unpack_from
        width = struct.calcsize(f"<{self.long}")
        head, position, last = self.head, self.position, len(self.head) - width
        for _ in range(count):
            if position > last:
                break
            position += width + unpack(head, position)[0]
        else:
            self.skip(position - self.position)
            return
        # Short or damaged: the checked way says which.
        self.skip(max(0, position - self.position))
        self.skip(width)
