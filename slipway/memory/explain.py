"""The arithmetic of a fit, one line a term."""

from __future__ import annotations

from slipway.architectures.types import Architecture
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.memory.fit import layout_of
from slipway.memory.kv import Layout
from slipway.memory.settings import Resolved, resolved
from slipway.memory.types import Fit, Setup, Term
from slipway.units import GIB


def explain(architecture: Architecture, setup: Setup, fit: Fit) -> tuple[Term, ...]:
    """What is taken from what, in the order in which the engine does it. Sizes are bytes of the fullest rank."""
    plan = resolved(architecture, setup)
    shares = layout_of(architecture, setup, plan)
    terms = [
        Term("usable", fit.usable, _usable(setup, plan)),
        Term("weights", fit.weights, _weights(architecture, setup, plan)),
    ]
    if setup.engine != "sglang":
        terms.append(Term("activations", fit.activations, _activations(architecture, setup, plan)))
    terms.append(Term("libraries", fit.libraries, _libraries(plan)))
    if fit.graphs.high:
        terms.append(Term("CUDA graphs", fit.graphs, f"estimated at start for up to {plan.sequences} sequences"))
    terms.append(Term("KV cache", fit.kv_available, "what is left"))
    if shares is not None:
        terms.append(Term("one request", _request(shares, plan), _pages(shares, plan)))
    return tuple(terms)


def _usable(setup: Setup, plan: Resolved) -> str:
    device = setup.device
    what = (
        "the fraction of the total that weights and KV cache may take" if setup.engine == "sglang" else "of its total"
    )
    named = f"{device.name}, {plan.total / GIB:.2f} GiB"
    if not isinstance(device, Gpu) or plan.fraction == 1:
        return named
    return f"{named} × {plan.fraction:g} {what}"


def _weights(architecture: Architecture, setup: Setup, plan: Resolved) -> str:
    whole = f"{architecture.weight_bytes / GIB:.2f} GiB of {architecture.parameters / 1e9:.1f} billion parameters"
    cuts = [
        f"{plan.tensor_parallel} tensor-parallel ranks" if plan.tensor_parallel > 1 else "",
        f"{plan.pipeline_parallel} stages" if plan.pipeline_parallel > 1 else "",
    ]
    over = " × ".join(cut for cut in cuts if cut)
    head = ", with the prediction head" if setup.speculative_tokens else ""
    return whole + (f" over {over}, what is not cut whole on each" if over else "") + head


def _activations(architecture: Architecture, setup: Setup, plan: Resolved) -> str:
    if setup.engine == "llama.cpp":
        return f"compute buffer of {plan.batched} tokens a step"
    sampling = f", or logits of {min(plan.sequences, plan.batched)} sequences × {architecture.vocab} words"
    return f"peak of a step of {plan.batched} tokens" + (sampling if architecture.task == "generate" else "")


def _libraries(plan: Resolved) -> str:
    ranks = plan.tensor_parallel * plan.pipeline_parallel
    return "CUDA and cuBLAS" + (f", NCCL's buffers for {ranks} GPUs" if ranks > 1 else "")


def _request(shares: Layout, plan: Resolved) -> Range:
    acts = plan.behaviour
    blocks = shares.blocks(plan.length, plan.batched * acts.batches_in_flight, acts.state_blocks)
    return Range.exact(blocks * shares.pool)


def _pages(shares: Layout, plan: Resolved) -> str:
    said = {
        "all": "every token",
        "window": "the last tokens",
        "source": "what the encoder made",
        "state": "a state of fixed size",
    }
    kinds = [
        f"{each.groups:.3g} × {said[each.keeps]}" + (f" ({each.window})" if each.keeps in {"window", "source"} else "")
        for each in shares.pages
    ]
    grows = f"{shares.per_token / 1024:.1f} KiB a token more" if shares.per_token else "no more with its length"
    return f"of {plan.length} tokens: {', '.join(kinds)} in blocks of {shares.pool / 2**20:.2f} MiB; {grows}"
