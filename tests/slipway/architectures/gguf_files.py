"""GGUF headers, written as docs/gguf.md of ggml lays them out, and small models in them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from slipway.architectures.gguf.types import TYPES

F32, F16, Q4_K, Q6_K, BF16, MXFP4 = 0, 1, 12, 14, 30, 39

Tensor = tuple[str, tuple[int, ...], int]


def text(value: str, long: str = "Q") -> bytes:
    raw = value.encode()
    return struct.pack(f"<{long}", len(raw)) + raw


def value(item: Any, long: str = "Q") -> tuple[int, bytes]:
    """The type's number, and the bytes."""
    if isinstance(item, bool):
        return 7, struct.pack("<?", item)
    if isinstance(item, int):
        return (4, struct.pack("<I", item)) if 0 <= item < 2**32 else (11, struct.pack("<q", item))
    if isinstance(item, float):
        return 6, struct.pack("<f", item)
    if isinstance(item, str):
        return 8, text(item, long)
    parts = [value(part, long) for part in item]
    kind = parts[0][0] if parts else 4
    return 9, struct.pack(f"<I{long}", kind, len(parts)) + b"".join(raw for _, raw in parts)


def gguf(metadata: dict[str, Any], tensors: Sequence[Tensor], version: int = 3) -> tuple[bytes, int]:
    """The header, and the size of the file with its data."""
    long = "I" if version == 1 else "Q"
    alignment = int(metadata.get("general.alignment", 32))
    head = b"GGUF" + struct.pack(f"<I{long}{long}", version, len(tensors), len(metadata))
    for key, item in metadata.items():
        kind, raw = value(item, long)
        head += text(key, long) + struct.pack("<I", kind) + raw
    offset = 0
    for name, dimensions, number in tensors:
        head += text(name, long) + struct.pack(
            f"<I{len(dimensions)}{long}IQ", len(dimensions), *dimensions, number, offset
        )
        elements = 1
        for dimension in dimensions:
            elements *= dimension
        size = elements // TYPES[number].block * TYPES[number].size
        offset += -(-size // alignment) * alignment
    return head, -(-len(head) // alignment) * alignment + offset


def llama(
    arch: str = "llama", *, layers: int = 4, hidden: int = 256, heads: int = 4, kv_heads: int = 2, **more: Any
) -> dict[str, Any]:
    """Metadata of a small model; further keys go below the architecture, dots written as two underscores."""
    return {
        "general.architecture": arch,
        f"{arch}.block_count": layers,
        f"{arch}.embedding_length": hidden,
        f"{arch}.context_length": 8192,
        f"{arch}.feed_forward_length": 512,
        f"{arch}.attention.head_count": heads,
        f"{arch}.attention.head_count_kv": kv_heads,
        **{f"{arch}.{key.replace('__', '.')}": item for key, item in more.items()},
    }


def dense(layers: int = 4, hidden: int = 256, kv: int = 128, kind: int = Q4_K, *, tied: bool = False) -> list[Tensor]:
    """Tensors of the model that `llama()` describes."""
    tensors: list[Tensor] = [("token_embd.weight", (hidden, 1000), Q6_K), ("output_norm.weight", (hidden,), F32)]
    if not tied:
        tensors.append(("output.weight", (hidden, 1000), Q6_K))
    for index in range(layers):
        tensors += attention(index, hidden, kv, kind) + mlp(index, hidden, kind)
    return tensors


def attention(index: int, hidden: int = 256, kv: int = 128, kind: int = Q4_K) -> list[Tensor]:
    return [
        (f"blk.{index}.attn_norm.weight", (hidden,), F32),
        (f"blk.{index}.attn_q.weight", (hidden, hidden), kind),
        (f"blk.{index}.attn_k.weight", (hidden, kv), kind),
        (f"blk.{index}.attn_v.weight", (hidden, kv), kind),
        (f"blk.{index}.attn_output.weight", (hidden, hidden), kind),
    ]


def mlp(index: int, hidden: int = 256, kind: int = Q4_K) -> list[Tensor]:
    return [
        (f"blk.{index}.ffn_gate.weight", (hidden, 512), kind),
        (f"blk.{index}.ffn_up.weight", (hidden, 512), kind),
        (f"blk.{index}.ffn_down.weight", (512, hidden), kind),
    ]


def experts(index: int, count: int = 8, hidden: int = 256, kind: int = MXFP4) -> list[Tensor]:
    return [
        (f"blk.{index}.ffn_gate_inp.weight", (hidden, count), F32),
        (f"blk.{index}.ffn_gate_exps.weight", (hidden, 128, count), kind),
        (f"blk.{index}.ffn_up_exps.weight", (hidden, 128, count), kind),
        (f"blk.{index}.ffn_down_exps.weight", (128, hidden, count), kind),
    ]
