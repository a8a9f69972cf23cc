"""What to change where a model does not fit, or only just: each with the figure that it would give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from slipway.architectures.types import Architecture, Part
from slipway.gpus import Gpu, gpus
from slipway.memory.fit import fit
from slipway.memory.possible import impossible, unsupported
from slipway.memory.settings import resolved
from slipway.memory.types import Fit, Setup
from slipway.units import GIB

EIGHT_BITS = 8.02
"""fp8 with a float32 scale an output channel"""
FOUR_BITS = 4.25
"""AWQ or GPTQ in groups of 128: a 16-bit scale and a zero"""
QUANTIZED = frozenset({"attention", "mlp", "experts", "shared_experts", "recurrent"})
"""parts that quantisers pack; tables, heads, norms and encoders keep their 16 bits"""
ROUND = 1024
LARGEST_FRACTION = 0.95
RANKS = (2, 4, 8)


def changes(architecture: Architecture, setup: Setup, found: Fit) -> tuple[str, ...]:
    """Sentences for the person who can act, the smallest change first; none when the model fits."""
    reason = impossible(architecture, setup)
    if reason:
        return (reason, *_larger_gpu(architecture, setup))
    if found.fits:
        return ()
    return (
        *_fewer_sequences(architecture, setup, found),
        *_shorter(architecture, setup, found),
        *_smaller_keys(architecture, setup),
        *_larger_fraction(architecture, setup),
        *_quantized(architecture, setup),
        *_more_ranks(architecture, setup),
        *_larger_gpu(architecture, setup),
    )


def lighter(architecture: Architecture, bits: float, name: str) -> Architecture:
    """The model as a quantiser would leave it, its wide parts at so many bits."""
    parts = tuple(_packed(part, bits) for part in architecture.parts)
    before = sum(part.bytes for part in architecture.parts)
    after = sum(part.bytes for part in parts)
    size = None if architecture.file_bytes is None else int(architecture.file_bytes * after / before)
    return replace(architecture, parts=parts, file_bytes=size, quantization=name)


def _packed(part: Part, bits: float) -> Part:
    return replace(part, bits=bits) if part.name in QUANTIZED and part.bits > bits else part


def _says(found: Fit) -> str:
    left = f"leaves {found.kv_available.mid / GIB:.1f} GiB a GPU for the KV cache"
    return f"{left}, {found.kv_tokens.mid:,.0f} tokens" + ("" if found.fits else ", and is still close")


def _tried(architecture: Architecture, setup: Setup, sentence: str, *, close: bool = True) -> Iterator[str]:
    """The sentence with its figure, if the change helps: fits, or at least the best guess does."""
    after = fit(architecture, setup)
    if after.fits or (close and after.verdict == "tight"):
        yield f"{sentence}: {_says(after)}"


def _fewer_sequences(architecture: Architecture, setup: Setup, found: Fit) -> Iterator[str]:
    """Sampling for many sequences, and a state for each, may be what is too much."""
    if setup.engine == "llama.cpp":
        if (setup.max_num_seqs or 1) > 1:
            yield from _tried(architecture, replace(setup, max_num_seqs=1), "Serve one request at a time")
        return
    for count in (256, 64, 16):
        if setup.max_num_seqs is None or setup.max_num_seqs > count:
            after = fit(architecture, replace(setup, max_num_seqs=count))
            if after.fits and after.kv_available.mid > found.kv_available.mid:
                yield f"Serve at most {count} sequences at once (max_num_seqs): {_says(after)}"
                return


def _shorter(architecture: Architecture, setup: Setup, found: Fit) -> Iterator[str]:
    length = int(found.max_context.low) // ROUND * ROUND
    if length >= ROUND and (setup.max_model_len is None or length < setup.max_model_len):
        shorter = replace(setup, max_model_len=length)
        yield from _tried(architecture, shorter, f"Allow {length:,} tokens a request at most", close=False)


def _smaller_keys(architecture: Architecture, setup: Setup) -> Iterator[str]:
    name = "q8_0" if setup.engine == "llama.cpp" else "fp8"
    if resolved(architecture, setup).kv_dtype in {"auto", "bf16", "fp16"}:
        yield from _tried(architecture, replace(setup, kv_dtype=name), f"Keep keys and values in {name} (kv_dtype)")


def _larger_fraction(architecture: Architecture, setup: Setup) -> Iterator[str]:
    if setup.engine != "vllm" or not isinstance(setup.device, Gpu):
        return
    if setup.memory_fraction is None or setup.memory_fraction < LARGEST_FRACTION:
        larger = replace(setup, memory_fraction=LARGEST_FRACTION)
        yield from _tried(architecture, larger, f"Let the engine take {LARGEST_FRACTION:.0%} of the memory")


def _quantized(architecture: Architecture, setup: Setup) -> Iterator[str]:
    widest = max((part.bits for part in architecture.parts if part.name in QUANTIZED), default=0)
    for bits, name, said in ((EIGHT_BITS, "fp8", "an fp8"), (FOUR_BITS, "awq", "a 4-bit (AWQ or GPTQ)")):
        packed = lighter(architecture, bits, name)
        if widest <= bits * 1.2 or impossible(packed, setup):
            continue
        after = fit(packed, setup)
        if after.verdict != "no":
            yield f"Take {said} version of the model: {_says(after)}"
            return


def _more_ranks(architecture: Architecture, setup: Setup) -> Iterator[str]:
    for ranks in RANKS:
        more = replace(setup, tensor_parallel=ranks)
        if ranks <= setup.tensor_parallel or not isinstance(setup.device, Gpu) or impossible(architecture, more):
            continue
        after = fit(architecture, more)
        if after.fits:
            yield f"Cut it over {ranks} GPUs (tensor_parallel): {_says(after)}"
            return


def _larger_gpu(architecture: Architecture, setup: Setup) -> Iterator[str]:
    if not isinstance(setup.device, Gpu):
        return
    for gpu in sorted(gpus().values(), key=lambda gpu: gpu.usable):
        if unsupported(architecture, gpu, engine=setup.engine, kv_dtype=setup.kv_dtype):
            continue
        other = replace(setup, device=gpu)
        after = fit(architecture, other)
        if gpu.name != setup.device.name and after.fits and not impossible(architecture, other):
            yield f"Take {gpu.name} ({gpu.usable / GIB:.0f} GiB): {_says(after)}"
            return
