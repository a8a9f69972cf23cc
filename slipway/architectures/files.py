"""What the files themselves say of a model's bytes: a safetensors index, or the header of one safetensors file.

Format: https://github.com/huggingface/safetensors#format (8 bytes of length, a JSON header, tensors).
"""

from __future__ import annotations

import re
from dataclasses import replace

from slipway.architectures.fields import INDEX_CHARACTERS, Fields, read_json
from slipway.architectures.types import Architecture
from slipway.errors import SizingError

HEADER_BYTES = 100_000_000
"""longest header that the format's own reader accepts"""
TOLERANCE = 0.25
"""a file further away from what the configuration computes to is of another model, or lies"""
WORTH_A_NOTE = 0.03

BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32}
BITS |= {"U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


def measured(architecture: Architecture, index_text: str | None, header_bytes: bytes | None) -> Architecture:
    """`architecture` with the bytes that its files say. Raises `SizingError` when they cannot be of this model."""
    if index_text is not None:
        where = f"{architecture.name}: model.safetensors.index.json"
        size, names = _index(index_text, where)
    else:
        where = f"{architecture.name}: model.safetensors"
        size, names = _header(header_bytes or b"", where)
    architecture = _without_prediction(architecture, names)
    if size is None:
        return replace(architecture, notes=(*architecture.notes, "the index does not say its total_size"))
    notes = architecture.notes
    computed = sum(part.bytes for part in architecture.parts)
    if _stored_wide(architecture):
        computed *= 2
    head = next((part for part in architecture.parts if part.name == "lm_head"), None)
    table = next((part for part in architecture.parts if part.name == "embedding"), None)
    if head is None and table is not None and any(name.endswith("lm_head.weight") for name in names):
        size -= int(table.bytes)
        notes = (*notes, "the files hold the tied output matrix a second time, which is not loaded")
    off = size / computed - 1 if computed else 1.0
    if abs(off) > TOLERANCE:
        what = f"it says {size:,} bytes, and the configuration computes to {computed:,.0f}, {off:+.0%} apart"
        raise SizingError(what, where=where, fix="Check that both files are of the same model, or leave this one out")
    if abs(off) > WORTH_A_NOTE:
        notes = (*notes, f"the files are {off:+.1%} of what the configuration computes to; theirs is taken")
    if _stored_wide(architecture):
        return replace(architecture, notes=notes)
    return replace(architecture, file_bytes=size, notes=notes)


def _stored_wide(architecture: Architecture) -> bool:
    return any("stored as float32" in note for note in architecture.notes)


def _without_prediction(architecture: Architecture, names: frozenset[str]) -> Architecture:
    """Quantised copies often leave the prediction head out; the names of the tensors tell."""
    if not architecture.speculative_layers or not names:
        return architecture
    layers = architecture.layers
    if any(re.search(rf"(^|\.)mtp\.|\.layers\.{layers}\.|eh_proj", name) for name in names):
        return architecture
    parts = tuple(part for part in architecture.parts if part.name != "mtp")
    notes = (*architecture.notes, "its configuration names a prediction head, which the files do not have")
    return replace(architecture, parts=parts, speculative_layers=0, notes=notes)


def _index(text: str, where: str) -> tuple[int | None, frozenset[str]]:
    index = Fields(read_json(text, where, INDEX_CHARACTERS), where)
    weights = index.section("weight_map")
    names = frozenset(weights.values) if weights is not None else frozenset()
    metadata = index.section("metadata")
    if metadata is None:
        return None, names
    total = metadata.values.get("total_size")
    if isinstance(total, float) and total.is_integer():
        # Some tools write the sum as 1.6e10 or 16060522496.0.
        return int(total), names
    return metadata.maybe("total_size", 1, 10**15), names


def _header(head: bytes, where: str) -> tuple[int, frozenset[str]]:
    fix = "Download the file again"
    if len(head) < 8:
        raise SizingError("this is too short to be a safetensors file", where=where, fix=fix)
    length = int.from_bytes(head[:8], "little")
    if length > HEADER_BYTES:
        what = f"its header would be {length:,} bytes long; this is no safetensors file"
        raise SizingError(what, where=where, fix=fix)
    if len(head) < 8 + length:
        raise SizingError(f"its header is {length:,} bytes long, and {len(head) - 8:,} are there", where=where, fix=fix)
    try:
        text = head[8 : 8 + length].decode()
    except UnicodeDecodeError:
        raise SizingError("its header is no UTF-8 text", where=where, fix=fix) from None
    tensors = Fields(read_json(text, where, HEADER_BYTES), where)
    total = 0
    for name in tensors.values:
        if name != "__metadata__":
            total += _tensor_bytes(tensors.needed(name))
    if not total:
        raise SizingError("it has no tensors", where=where, fix=fix)
    return total, frozenset(tensors.values)


def _tensor_bytes(tensor: Fields) -> int:
    dtype, shape = tensor.word("dtype"), tensor.integers("shape", 0, 2**40, 16)
    if dtype not in BITS:
        raise tensor.fault("dtype", f"is {dtype!r}, which is no type of a tensor")
    if shape is None:
        raise tensor.missing("shape")
    elements = 1
    for size in shape:
        elements *= size
    if elements > 10**15:
        raise tensor.fault("shape", "is of more elements than any tensor has")
    expected = -(-elements * BITS[dtype] // 8)
    offsets = tensor.integers("data_offsets", 0, 10**15, 2)
    if offsets is not None and (len(offsets) != 2 or offsets[1] - offsets[0] != expected):
        raise tensor.fault("data_offsets", f"does not span the {expected:,} bytes of its shape")
    return expected
