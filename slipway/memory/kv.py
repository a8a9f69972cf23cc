"""Keys, values and states of requests, in the pages that an engine really hands out, on one rank.

vLLM's arithmetic, read in vllm/v1/kv_cache_interface.py and vllm/v1/core/kv_cache_utils.py: layers that keep the same
kind of state form groups of equal size; every group draws its pages from one pool, whose block is one page of every
layer of a group. So a page is as large for each kind, and the kind with less to store a token holds more tokens in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Literal

from slipway.architectures.types import Architecture
from slipway.memory.types import Engine

PAGE = 16
"""tokens of an attention page where nothing makes it larger"""
LATENT_PAGE = 64
"""of the kernels for latent attention"""
SPARSE_FP8_LATENT = 656
"""bytes a token and layer of vLLM's fp8_ds_mla (vllm/v1/kv_cache_interface.py)"""

Keeps = Literal["all", "window", "source", "state"]


@dataclass(frozen=True, slots=True)
class Pages:
    """Groups of layers that take pages alike."""

    keeps: Keeps
    groups: float
    """how many; a share where an engine has no groups"""
    block: int
    """tokens of one page; 0 for states"""
    window: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How the layers of one rank share its KV memory."""

    pool: float
    """bytes of one block: a page of every layer in a group"""
    pages: tuple[Pages, ...]
    per_token: float
    """bytes that one token more of a long request takes"""
    smallest: int
    """tokens of the smallest page"""
    count: int
    """groups"""

    def blocks(self, length: float, in_flight: float, states: int) -> float:
        """Blocks of one request of that length, as the engine reserves them when it admits one."""
        needed = 0.0
        for each in self.pages:
            if each.keeps == "all":
                needed += each.groups * ceil(length / each.block)
            elif each.keeps == "window":
                # One more, for a window need not start where a page does.
                needed += each.groups * (ceil(min(each.window - 1 + in_flight, length) / each.block) + 1)
            elif each.keeps == "source":
                # CrossAttentionSpec of vllm/v1/kv_cache_interface.py
                needed += each.groups * ceil(each.window / each.block)
            else:
                needed += each.groups * states
        return needed

    def longest(self, blocks: float, in_flight: float, states: int, limit: int) -> int:
        """Tokens of the longest request that so many blocks hold, in steps of the smallest page, at most `limit`."""
        if limit <= 0 or self.blocks(1, in_flight, states) > blocks:
            return 0
        if self.blocks(limit, in_flight, states) <= blocks:
            return limit
        # First as if every window were full, then as if none were; what rounding leaves is a step or two.
        length = 0.0
        for full in (True, False):
            fixed = rate = 0.0
            filled = 0.0
            for each in self.pages:
                if each.keeps == "all" or (each.keeps == "window" and not full):
                    rate += each.groups / each.block
                    fixed += each.groups if each.keeps == "window" else 0
                elif each.keeps == "window":
                    filled = max(filled, each.window - 1 + in_flight)
                    fixed += each.groups * (ceil((each.window - 1 + in_flight) / each.block) + 1)
                elif each.keeps == "source":
                    fixed += each.groups * ceil(each.window / each.block)
                else:
                    fixed += each.groups * states
            length = (blocks - fixed) / rate if rate else 0.0
            if length >= filled:
                break
        step = self.smallest
        found = min(max(int(length) // step * step, 0), limit)
        while found > 0 and self.blocks(found, in_flight, states) > blocks:
            found = max(0, found - step)
        while found + step <= limit and self.blocks(found + step, in_flight, states) <= blocks:
            found += step
        return max(found, 1)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Layers with one and the same state. `size`: bytes a token of one layer, or the whole state of a recurrent one."""

    keeps: Keeps
    size: float
    count: int
    window: int = 0
    page: int = PAGE


def element_bytes(kv_dtype: str, model_dtype: str) -> float:
    """Bytes of one element of the KV cache. nvfp4 has an fp8 scale for 16 elements; q8_0 and q4_0 one for 32.

    >>> element_bytes("auto", "bf16"), element_bytes("nvfp4", "bf16"), element_bytes("q8_0", "fp16")
    (2.0, 0.5625, 1.0625)
    """
    name = model_dtype if kv_dtype == "auto" else kv_dtype
    return {
        "fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0,
        "nvfp4": 0.5625, "q8_0": 1.0625, "q4_0": 0.5625,
    }[name]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """How an engine spreads a model's requests."""

    engine: Engine
    tensor: int
    pipeline: int
    kv_dtype: str
    sparse_fp8: bool = False
    """latent vectors of sparse attention in vLLM's own fp8 format"""
    speculative: int = 0
    windows: bool = True
    """sliding layers give back what left their window"""


@lru_cache(maxsize=8192)
def layout(architecture: Architecture, cut: Cut) -> Layout | None:
    """The layout on one rank; None when no layer keeps anything.

    Latent vectors are the same on every rank, and keys and values are not cut finer than a head a rank.
    """
    kinds = _merged(_kinds(architecture, cut))
    if not kinds:
        return None
    return (_paged if cut.engine == "vllm" else _separate)(kinds, cut.pipeline, cut.windows)


def _kinds(architecture: Architecture, cut: Cut) -> Iterator[_Kind]:
    element = element_bytes(cut.kv_dtype, architecture.dtype)
    index = architecture.extra.get("index_head_dim", 0)
    grown = next((group for group in architecture.groups if group.state in {"full", "latent"}), None)
    for group in architecture.groups:
        extra = architecture.speculative_layers if cut.speculative and group is grown else 0
        count = group.count + extra
        if group.state == "recurrent":
            # A speculated token widens the convolution's window by one column; kernels of 4 keep 3.
            wider = 1 + cut.speculative / 3
            size = sum(
                state.elements * state.bytes_per_element * (wider if state.name.startswith("conv") else 1)
                for state in group.recurrent
            )
            yield _Kind("state", size / cut.tensor, count)
        elif group.state == "latent":
            size = SPARSE_FP8_LATENT if index and cut.sparse_fp8 else group.latent_dim * element
            # The indexer of sparse attention keeps an fp8 key and a float32 scale a token.
            yield _Kind("all", size + (index + 4 if index else 0), count, page=LATENT_PAGE)
        elif group.state in {"full", "sliding", "chunked", "cross"}:
            heads = max(1, ceil(group.kv_heads / cut.tensor))
            # vLLM keeps whole sequences for chunked layers unless an environment variable says otherwise.
            keeps: Keeps = "window" if group.state == "sliding" else "source" if group.state == "cross" else "all"
            yield _Kind(keeps, heads * (group.key_dim + group.value_dim) * element, count, group.window)


def _merged(kinds: Iterator[_Kind]) -> tuple[_Kind, ...]:
    counts: dict[tuple[Keeps, float, int, int], int] = {}
    for kind in kinds:
        key = (kind.keeps, kind.size, kind.window if kind.keeps in {"window", "source"} else 0, kind.page)
        counts[key] = counts.get(key, 0) + kind.count
    return tuple(
        _Kind(keeps, size, count, window, page)
        for (keeps, size, window, page), count in counts.items()
        if size and count
    )


def _separate(kinds: tuple[_Kind, ...], pipeline: int, windows: bool) -> Layout:
    """SGLang and llama.cpp: a pool of its own for each kind. A block is one token of the layers that keep all of them;
    what the others keep is counted in such blocks."""
    whole = [kind for kind in kinds if kind.keeps == "all" or (kind.keeps == "window" and not windows)]
    rest = [kind for kind in kinds if kind not in whole]
    unit = sum(kind.size * kind.count for kind in whole) or sum(kind.size * kind.count for kind in kinds)
    pages: tuple[Pages, ...] = (Pages("all", 1, 1),) if whole else ()
    pages += tuple(
        Pages(kind.keeps, kind.size * kind.count / unit, 0 if kind.keeps == "state" else 1, kind.window)
        for kind in rest
    )
    return Layout(unit / pipeline, pages, unit / pipeline if whole else 0.0, 1, 1)


def _paged(kinds: tuple[_Kind, ...], pipeline: int, windows: bool) -> Layout:
    states = [kind for kind in kinds if kind.keeps == "state"]
    sources = [kind for kind in kinds if kind.keeps == "source"]
    tokens = [kind for kind in kinds if kind.keeps in {"all", "window"}]
    if not windows or len({(kind.keeps, kind.window) for kind in tokens}) == 1:
        tokens = [_together(tokens, windows)] if tokens and not states else tokens
    tokens = tokens + sources
    grows = {"all"} if windows else {"all", "window"}
    growing = sum(kind.size * kind.count for kind in tokens if kind.keeps in grows)
    page = max((kind.size * kind.page for kind in tokens), default=0.0)
    block = 0
    if states:
        largest = max(kind.size for kind in states)
        if tokens:
            widest = max(tokens, key=lambda kind: kind.size)
            # The attention page grows until it holds a whole state.
            block = widest.page * max(1, ceil(largest / (widest.size * widest.page)))
            page = widest.size * block
        page = max(page, largest)
    every = tokens + states
    counts = [kind.count for kind in every]
    size = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    pages = tuple(
        Pages(
            "all" if kind.keeps == "window" and not windows else kind.keeps,
            ceil(kind.count / size),
            max(kind.page, int(page / kind.size) // kind.page * kind.page) if kind.keeps != "state" else 0,
            kind.window,
        )
        for kind in every
    )
    smallest = min((each.block for each in pages if each.block), default=1)
    return Layout(
        page * ceil(size / pipeline), pages, growing / pipeline, smallest, int(sum(each.groups for each in pages))
    )


def _together(tokens: list[_Kind], windows: bool) -> _Kind:
    """Layers whose requests need as many token slots: one group, whatever the size of each (a layer as wide as all)."""
    size = sum(kind.size * kind.count for kind in tokens)
    count = sum(kind.count for kind in tokens)
    return _Kind(tokens[0].keeps if windows else "all", size / count, count, tokens[0].window, tokens[0].page)
