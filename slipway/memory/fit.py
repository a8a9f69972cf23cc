"""Whether a model fits a setup, and what it then leaves for requests: numbers only, for it runs thousands of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, sqrt
from typing import Literal

from slipway.architectures.types import Architecture
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.memory.kv import Cut, Layout, layout
from slipway.memory.overheads import CONTEXT, activations, compiling, counted, graphs, libraries
from slipway.memory.settings import Resolved, resolved
from slipway.memory.types import Fit, Setup
from slipway.memory.weights import LOADED, padded_bytes, rank_bytes

TOTAL = Range(1.0, 1.0008, 1.005)
"""of a card's total against the least that was seen of its kind: drivers and cards differ by half a percent"""
ZERO = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What the KV memory holds, as one of the three guesses has it."""

    count: float
    """blocks"""
    request: float
    """blocks of one request of the full length"""
    in_flight: float
    states: int

    @property
    def at_once(self) -> float:
        """Requests of the full length."""
        return self.count / self.request if self.request else 0.0


Guesses = tuple[_Blocks, _Blocks, _Blocks]
Verdict = Literal["fits", "tight", "no"]


def fit(architecture: Architecture, setup: Setup, plan: Resolved | None = None) -> Fit:
    """The arithmetic of one rank, the fullest. `plan` is the setup resolved, for who has it already. Raises
    `SizingError` for an engine version that cannot be read."""
    plan = plan or resolved(architecture, setup)
    shares = layout_of(architecture, setup, plan)
    held = rank_bytes(architecture, plan.tensor_parallel, plan.pipeline_parallel, setup.speculative_tokens > 0)
    if setup.engine == "vllm" and isinstance(setup.device, Gpu):
        held += padded_bytes(architecture, plan.tensor_parallel, plan.pipeline_parallel, setup.device.generation)
    weights = _scaled(LOADED, held)
    peak = activations(architecture, plan, setup.engine)
    if setup.engine == "vllm" and setup.cuda_graphs:
        peak = Range(peak.low, peak.mid, peak.high + compiling(architecture, plan, setup.device))
    gone = libraries(setup.device, plan, setup.engine)
    captured = graphs(architecture, plan, setup.device) if setup.cuda_graphs and setup.engine != "llama.cpp" else ZERO
    taken = counted(captured, plan.behaviour)
    share = plan.total * plan.fraction
    usable = _scaled(TOTAL, share) if isinstance(setup.device, Gpu) else Range.exact(share)
    # SGLang's share is for weights and KV cache; activations and graphs live in what the share leaves.
    inside = ZERO if setup.engine == "sglang" else peak
    left = _remainder(usable, (weights, inside, gone, taken))
    worst, likely = _blocks(shares, plan, left.low, worst=True), _blocks(shares, plan, left.mid, worst=False)
    most = _Blocks(_held(shares, left.high), likely.request, likely.in_flight, likely.states)
    guesses = (worst, likely, most)
    uncounted = max(0.0, captured.mid - taken.mid) + (peak.mid if setup.engine == "sglang" else 0.0)
    beside = _beside(setup, plan, usable.low, uncounted)
    return Fit(
        verdict=_verdict(left, guesses, _needed(setup, plan, shares), beside=beside),
        usable=usable,
        weights=weights,
        activations=peak,
        libraries=gone,
        graphs=taken,
        kv_available=left,
        kv_bytes_per_token=shares.per_token if shares else 0.0,
        kv_tokens=Range(_tokens(shares, plan, worst), _tokens(shares, plan, likely), _tokens(shares, plan, most)),
        max_concurrency=Range(worst.at_once, likely.at_once, most.at_once),
        max_context=Range(
            _longest(architecture, shares, worst),
            _longest(architecture, shares, likely),
            _longest(architecture, shares, most),
        ),
    )


def layout_of(architecture: Architecture, setup: Setup, plan: Resolved) -> Layout | None:
    """How one rank's KV memory is shared."""
    hopper = isinstance(setup.device, Gpu) and setup.device.compute_capability.startswith("9.")
    cut = Cut(
        setup.engine,
        plan.tensor_parallel,
        plan.pipeline_parallel,
        plan.kv_dtype,
        sparse_fp8=hopper and plan.kv_dtype == "fp8",
        speculative=setup.speculative_tokens,
        windows=plan.behaviour.groups,
    )
    return layout(architecture, cut)


def kv_request_bytes(architecture: Architecture, setup: Setup, tokens: int) -> float:
    """Bytes that one running request of so many tokens holds on one rank: keys, values and states, in whole pages."""
    return kv_requests_bytes(architecture, setup, (tokens,), resolved(architecture, setup))[0]


def kv_requests_bytes(
    architecture: Architecture, setup: Setup, lengths: Iterable[int], plan: Resolved
) -> tuple[float, ...]:
    """The same of several lengths, each a request of its own, of a setup whose defaults are resolved already."""
    shares, states = layout_of(architecture, setup, plan), plan.behaviour.state_blocks
    return tuple(shares.blocks(tokens, 1, states) * shares.pool if shares else 0.0 for tokens in lengths)


def _blocks(shares: Layout | None, plan: Resolved, amount: float, *, worst: bool) -> _Blocks:
    if shares is None:
        return _Blocks(0.0, 0.0, 0.0, 0)
    acts = plan.behaviour
    in_flight = plan.batched * (2 if worst and acts.version >= (0, 24, 0) else acts.batches_in_flight)
    # Prefix caching keeps a second state; somebody may have turned it on.
    states = 2 if worst else acts.state_blocks
    return _Blocks(_held(shares, amount), shares.blocks(plan.length, in_flight, states), in_flight, states)


def _held(shares: Layout | None, amount: float) -> float:
    """Whole blocks in so many bytes."""
    return max(0, floor(amount / shares.pool)) if shares else 0.0


def _tokens(shares: Layout | None, plan: Resolved, each: _Blocks) -> float:
    """As the boot log says it."""
    if shares is None:
        return 0.0
    if plan.behaviour.tokens_by_concurrency and each.request:
        return each.count / each.request * plan.length
    return each.count // shares.count * shares.smallest


def _longest(architecture: Architecture, shares: Layout | None, each: _Blocks) -> float:
    if shares is None:
        return float(architecture.context)
    return float(shares.longest(each.count, each.in_flight, each.states, architecture.context))


def _beside(setup: Setup, plan: Resolved, usable: float, uncounted: float) -> bool:
    """Whether what the engine does not count (CUDA itself, older versions' graphs) has room beside what it does."""
    if not isinstance(setup.device, Gpu) or setup.engine == "llama.cpp":
        return True
    return usable + CONTEXT.low + uncounted <= plan.total


def _needed(setup: Setup, plan: Resolved, shares: Layout | None) -> tuple[int, int]:
    """How many requests of the full length must have room, and how many blocks there must be in any case.

    In llama.cpp every slot has its share from the start. vLLM's start ends with "max_num_seqs (1024) exceeds available
    Mamba cache blocks (512)" where it captures graphs for more sequences than it has states for.
    """
    if setup.engine == "llama.cpp":
        return plan.sequences, 0
    states = shares is not None and any(each.keeps == "state" for each in shares.pages)
    least = plan.sequences if states and setup.cuda_graphs and plan.behaviour.states_per_sequence else 0
    return 1, least


def _verdict(left: Range, guesses: Guesses, needed: tuple[int, int], *, beside: bool) -> Verdict:
    requests, least = needed
    worst, likely, _ = guesses
    if left.low >= 0 and worst.count >= max(worst.request * requests, least) and beside:
        return "fits"
    if left.mid >= 0 and likely.count >= max(likely.request * requests, least):
        return "tight"
    return "no"


def _remainder(whole: Range, taken: tuple[Range, ...]) -> Range:
    """What is left of the whole. Its parts are wrong independently of one another, so their errors add up as squares:
    all of them at their worst at once has been seen in no log."""
    mid = whole.mid - sum(part.mid for part in taken)
    less = sum((part.high - part.mid) ** 2 for part in taken) + (whole.mid - whole.low) ** 2
    more = sum((part.mid - part.low) ** 2 for part in taken) + (whole.high - whole.mid) ** 2
    return Range(mid - sqrt(less), mid, mid + sqrt(more))


def _scaled(shape: Range, size: float) -> Range:
    """A shape of shares, of that size."""
    return Range(shape.low * size, shape.mid * size, shape.high * size)
