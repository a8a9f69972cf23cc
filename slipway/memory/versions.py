"""What an engine counts, and by which defaults, changes from version to version; here is since when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from slipway.errors import SizingError
from slipway.estimates import Range
from slipway.memory.types import Engine
from slipway.units import quoted

Version = tuple[int, int, int]

NEWEST: dict[str, Version] = {"vllm": (0, 31, 0), "sglang": (0, 5, 10), "llama.cpp": (0, 0, 0)}

VLLM_BY_MONTH: tuple[tuple[str, Version], ...] = (
    ("2024-01", (0, 2, 7)),
    ("2024-09", (0, 6, 1)),
    ("2025-02", (0, 7, 2)),
    ("2025-05", (0, 8, 5)),
    ("2025-07", (0, 9, 2)),
    ("2025-09", (0, 10, 2)),
    ("2025-10", (0, 11, 0)),
    ("2025-12", (0, 13, 0)),
    ("2026-02", (0, 15, 1)),
    ("2026-03", (0, 18, 0)),
    ("2026-04", (0, 19, 0)),
    ("2026-05", (0, 21, 0)),
    ("2026-06", (0, 22, 0)),
    ("2026-07", (0, 24, 0)),
    ("2026-08", (0, 27, 0)),
    ("2026-09", (0, 29, 0)),
    ("2026-10", (0, 31, 0)),
)
"""A version that published boot logs of that month name, for logs that state a date only."""


NONE = Range(0, 0, 0)


@dataclass(frozen=True)
class Behaviour:
    """What one version of one engine does, as far as memory depends on it."""

    version: Version
    fraction: float
    """memory fraction, when none is asked for"""
    sampler: Range
    """peak of sampling, in float32 logits of all sequences"""
    profiled: bool = True
    """a batch has its own token limit (chunked prefill), whatever the context"""
    groups: bool = True
    """sliding layers give back what left their window (hybrid KV cache manager)"""
    tokens_by_concurrency: bool = True
    """the log's KV tokens are concurrency × length rather than blocks × block size"""
    batches_in_flight: int = 1
    """batches that sliding layers reserve pages for"""
    state_blocks: int = 1
    """pages that a recurrent layer keeps a request, unless told otherwise"""
    graphs: Range = NONE
    """share of the captured CUDA graphs that is taken off the KV cache"""
    kv_as_written: bool = False
    """keys and values in the type that a checkpoint asks for, unless told otherwise"""
    states_per_sequence: bool = False
    """refuses to start when it has fewer recurrent states than `max_num_seqs`"""


CHANGES: tuple[tuple[Version, str, str], ...] = (
    (
        (0, 7, 0),
        "prefill of long contexts is chunked to 2048 tokens rather than 512",
        "vllm#10517 against boot logs of 0.7",
    ),
    ((0, 8, 0), "V1: prefill is always chunked; 8192 tokens on H100 and H200, else 2048", "vllm#12369"),
    ((0, 9, 0), "1024 sequences and 8192 tokens on every GPU of 70 GiB or more but the A100", "vllm#17885"),
    ((0, 9, 2), "sliding layers keep their window only (hybrid KV cache manager)", "vllm/v1/core/kv_cache_utils.py"),
    (
        (0, 14, 0),
        "a checkpoint that asks for keys and values in fp8 gets them",
        "vllm#30785, merged in the days of 0.13.0",
    ),
    ((0, 17, 0), "top-k and top-p by a Triton kernel, which needs no sorted copy of the logits", "vllm#33538"),
    (
        (0, 20, 0),
        "CUDA graphs are estimated and taken off the KV cache; default fraction 0.92",
        "gpu_worker.py in boot logs",
    ),
    ((0, 21, 0), "the log's KV tokens are concurrency × length", "vllm#43308"),
    ((0, 26, 0), "sliding layers reserve pages for two batches in flight", "vllm#47728, tenstorrent/tt-xla#5908"),
    ((0, 27, 0), "prefix caching on hybrids by default: two recurrent states a request", "vllm#50991"),
    ((0, 28, 0), "16384 tokens on GPUs of 160 GiB or more", "vllm#51726"),
)
"""Since which version of vLLM, what, and who says so."""


def parse_version(engine: Engine, text: str | None) -> Version:
    """The version that a text means: 0.21.0, v0.10.2, 0.6.x (the last of it), 0.23.0?, 2026-06, b4567.

    Raises `SizingError` for anything else.

    >>> parse_version("vllm", "v0.23.1rc1.dev531"), parse_version("vllm", "2026-06"), parse_version("vllm", "0.6.x")
    ((0, 23, 1), (0, 22, 0), (0, 6, 99))
    """
    if text is None:
        return NEWEST[engine]
    plain = text.strip().lower().rstrip("?")
    if plain in {"", "newest", "latest", "nightly"}:
        return NEWEST[engine]
    dated = re.fullmatch(r"(20[0-9]{2}-(?:0[1-9]|1[0-2]))(?:-[0-9]{2})?", plain)
    if dated:
        if engine != "vllm":
            return NEWEST[engine]
        return max((version for month, version in VLLM_BY_MONTH if month <= dated[1]), default=VLLM_BY_MONTH[0][1])
    if engine == "llama.cpp" and re.fullmatch(r"b?[0-9]{1,7}", plain):
        return NEWEST[engine]
    found = re.fullmatch(
        r"v?([0-9]{1,4})\.([0-9]{1,4}|x)(?:\.([0-9]{1,4}|x))?([a-z+_-][a-z0-9.+_-]*|\.[a-z0-9.+_-]*)?", plain
    )
    if not found or len(text) > 100:
        raise SizingError(
            f"{quoted(text)} is no version of {engine}", where="engine version", fix='Write it like "0.21.0"'
        )
    major, minor, patch = (99 if part == "x" else int(part or 0) for part in found.groups()[:3])
    return (major, minor, patch)


@lru_cache(maxsize=1024)
def behaviour(engine: Engine, text: str | None) -> Behaviour:
    """What that version does. Raises `SizingError` for a version that cannot be read."""
    version = parse_version(engine, text)
    if engine == "sglang":
        # Its default fraction depends on the GPU: `settings.sglang_fraction`.
        return Behaviour(version, fraction=0.0, sampler=Range(1.5, 2.5, 4))
    if engine == "llama.cpp":
        return Behaviour(version, fraction=1.0, sampler=Range(1, 1, 1.5))
    return Behaviour(
        version,
        fraction=0.92 if version >= (0, 20, 0) else 0.9,
        sampler=_sampler(version),
        profiled=version >= (0, 8, 0),
        groups=version >= (0, 9, 2),
        tokens_by_concurrency=version >= (0, 21, 0),
        batches_in_flight=2 if version >= (0, 26, 0) else 1,
        state_blocks=2 if version >= (0, 27, 0) else 1,
        graphs=_graphs(version),
        kv_as_written=version >= (0, 14, 0),
        states_per_sequence=version >= (0, 17, 0),
    )


def _sampler(version: Version) -> Range:
    """Copies of the logits that sampling holds at its peak, in float32 of all sequences.

    9.6: 4.76 GiB of activations less the hidden states, for 1024 sequences × 128256 words of Llama-3.1-8B on an H100
    (0.11.0), and 0.46 GiB for 256 × 50272 of OPT-125M (0.6). FlashInfer's sampler, where it is installed, takes 3.9.
    3.8 since the Triton kernel: 2.16 GiB in all for 1024 × 131072 of Nemotron-3-Nano on an H200 (0.18.0).
    """
    if version < (0, 17, 0):
        return Range(3.8, 9.6, 10.2)
    if version < (0, 25, 0):
        return Range(1.6, 3.8, 6)
    return Range(1.2, 3.0, 5.0)


def _graphs(version: Version) -> Range:
    """The second model runner (0.25 and later, not for hybrids) logs no estimate of its own; both are seen in logs."""
    if version < (0, 20, 0):
        return NONE
    return Range(1, 1, 1) if version < (0, 25, 0) else Range(0, 0.6, 1)
