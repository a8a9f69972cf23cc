"""One step and one prompt: what they cost, what makes them faster, and what never may."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.architectures.types import Architecture
from slipway.memory.types import Setup
from slipway.speed import communication, communication_share, decode_step, prefill
from slipway.speed.efficiency import LLAMA_CPP, ONE_SOCKET, SERVER, TWO_SOCKETS, factors
from slipway.speed.roofline import Roofline
from tests.slipway.speed.cases import (
    CHUNKED,
    FULL,
    LARGE,
    LATENT,
    PROCESSOR,
    RECURRENT,
    SLIDING,
    SMALL,
    dense,
    on,
    sparse,
    states,
)

MODELS = {
    "dense": dense(),
    "fp8": dense(8, "fp8"),
    "awq": dense(4.5, "awq"),
    "sparse": sparse(),
    "windows": states(FULL, SLIDING),
    "latent": states(LATENT),
    "hybrid": states(FULL, RECURRENT),
}
SETUPS = {
    "one": on(),
    "two over NVLink": on(tensor_parallel=2),
    "four over PCIe": on(SMALL, tensor_parallel=4),
    "two stages": on(pipeline_parallel=2),
    "eager": on(cuda_graphs=False),
    "llama.cpp": on(SMALL, engine="llama.cpp"),
    "cpu": on(PROCESSOR),
}
batches = st.integers(1, 1024)
contexts = st.integers(1, 100_000)
models = st.sampled_from(sorted(MODELS)).map(MODELS.__getitem__)
setups = st.sampled_from(sorted(SETUPS)).map(SETUPS.__getitem__)


def slower(setup: Setup, share: float) -> Setup:
    return replace(setup, device=setup.device.model_copy(update={"bandwidth": setup.device.bandwidth * share}))


def test_a_step_at_batch_one_is_the_weights_over_the_bandwidth_and_what_the_engine_adds() -> None:
    model = dense()
    keys = 32 * 8 * 2 * 128 * 2 * 1000
    expected = (
        model.active_bytes / (LARGE.bandwidth * SERVER.read_16)
        + keys / (LARGE.bandwidth * SERVER.read_state)
        + 32 * SERVER.layer
    )  # fmt: skip
    assert decode_step(model, on(), 1, 1000).mid == pytest.approx(expected)
    # Before v0.14 the GPU waits for the CPU.
    waits = SERVER.step + SERVER.request
    assert decode_step(model, on(engine_version="0.13.0"), 1, 1000).mid == pytest.approx(expected + waits)


def test_a_step_is_no_shorter_than_what_the_cpu_prepares() -> None:
    tiny = replace(dense(layers=1), parts=())
    assert decode_step(tiny, on(), 100, 1).mid == pytest.approx(SERVER.step + 100 * SERVER.request)


def test_a_large_batch_is_bound_by_operations() -> None:
    model = Roofline(dense(), on())
    operations = 2 * dense().active_parameters / (1e15 * SERVER.compute_16)
    assert model.multiply + model.head_multiply == pytest.approx(operations)
    assert model.step(4096, 0) == pytest.approx(4096 * operations + model.gaps)


@dataclass(frozen=True)
class State:
    name: str
    architecture: Architecture
    setup: Setup
    tokens: int
    size: float
    """bytes, on one rank"""


KV = 8 * 2 * 128 * 2
STATES = (
    State("every token", states(FULL), on(), 1000, 16 * KV * 1000),
    State("heads over ranks", states(FULL), on(tensor_parallel=4), 1000, 16 * KV * 1000 / 4),
    State("heads repeat past their number", states(FULL), on(tensor_parallel=16), 1000, 16 * KV * 1000 / 8),
    State("no more than the window", states(SLIDING), on(), 5000, 16 * KV * 1024),
    State("a window not yet full", states(SLIDING), on(), 500, 16 * KV * 500),
    State("no more than the chunk", states(CHUNKED), on(), 5000, 16 * KV * 1024),
    State("latent, the same on every rank", states(LATENT), on(tensor_parallel=8), 100, 32 * 576 * 2 * 100),
    State("recurrent, read and written", states(RECURRENT), on(tensor_parallel=2), 9, 24 * 1_000_000 * 4 * 2 / 2),
    State("fp8", states(FULL), on(kv_dtype="fp8"), 1000, 16 * KV * 1000 / 2),
)


@pytest.mark.parametrize("case", STATES, ids=lambda case: case.name)
def test_what_a_request_has_read(case: State) -> None:
    assert Roofline(case.architecture, case.setup).state_bytes(case.tokens) == pytest.approx(case.size)


def test_distinct_experts_against_drawing_them() -> None:
    """1 - (1 - k/E)^B, as small cases count it: of 4 experts, 1 a token, two tokens touch 1 or 2, 7/4 on average."""
    model = Roofline(sparse(experts=4, used=1), on())
    (seconds, _), *_ = model.experts
    touched = (model.weights(2) - model.read - model.head_read) / seconds * 4
    assert touched == pytest.approx(7 / 4)
    assert (model.weights(1e6) - model.read - model.head_read) / seconds == pytest.approx(1)


@pytest.mark.parametrize(
    ("quantization", "device", "type_", "share"),
    [
        ("fp8", LARGE, "fp8", SERVER.compute_8),
        ("int8", LARGE, "int8", SERVER.compute_8),
        ("fp8", SMALL, "bf16", SERVER.compute_unpacked),
        ("awq", LARGE, "bf16", SERVER.compute_unpacked),
        ("nvfp4", LARGE, "bf16", SERVER.compute_unpacked),
    ],
)
def test_the_type_that_is_multiplied_follows_quantisation_and_gpu(
    quantization: str, device: object, type_: str, share: float
) -> None:
    model = Roofline(dense(8, quantization), on(device))  # type: ignore[arg-type]
    narrow = sum(part.elements for part in dense().parts if part.name in ("attention", "mlp"))
    assert model.multiply == pytest.approx(2 * narrow / (device.flops[type_] * share))  # type: ignore[attr-defined]


def test_factors_by_engine_and_device() -> None:
    two = PROCESSOR.model_copy(update={"sockets": 2})
    assert factors(on()) is SERVER
    assert factors(on(engine="sglang")) is SERVER
    assert factors(on(engine="llama.cpp")) is LLAMA_CPP
    assert factors(on(PROCESSOR)) is ONE_SOCKET
    assert factors(on(two)) is TWO_SOCKETS


def test_busy_neighbours_slow_a_part_of_a_cpu_down() -> None:
    """By as much as the bandwidth that is not its own; they never make it faster, and leave its operations alone."""
    part = PROCESSOR.part(8, 2**36)
    alone, among = on(part.model_copy(update={"guaranteed": None})), on(part)
    calm, crowded = decode_step(dense(), alone, 1, 100), decode_step(dense(), among, 1, 100)
    assert (crowded.low, crowded.mid) == (calm.low, calm.mid)
    assert part.guaranteed is not None
    assert crowded.high == pytest.approx(calm.high * part.bandwidth / part.guaranteed)
    assert prefill(dense(), among, 100) == prefill(dense(), alone, 100)


def test_prefill_on_a_cpu_takes_the_minute_that_rules_it_out_for_chat() -> None:
    assert prefill(dense(4.5, "gguf:Q4_K_M"), on(PROCESSOR), 2048).mid > 10
    assert prefill(dense(), on(LARGE), 2048).mid < 0.1


def test_without_graphs_launching_is_a_floor() -> None:
    tiny = replace(dense(), parts=(), file_bytes=0)
    model = Roofline(tiny, on(cuda_graphs=False))
    assert model.step(1, 0) == pytest.approx(32 * SERVER.launch + model.gaps)
    assert decode_step(dense(), on(SMALL), 1, 100) == decode_step(dense(), on(SMALL, cuda_graphs=False), 1, 100)


def test_talk_is_two_all_reduces_a_layer() -> None:
    size = 8 * 4096 * 2
    each = SERVER.nvlink + 2 * 1 / 2 * size / (LARGE.link_bandwidth * communication.SHARE["nvlink"])
    assert Roofline(dense(), on(tensor_parallel=2)).talk(8) == pytest.approx(2 * 32 * each)
    assert Roofline(dense(), on()).talk(8) == 0


def test_pcie_costs_more_of_a_step_than_nvlink() -> None:
    over_pcie = LARGE.model_copy(update={"link": "pcie", "link_bandwidth": 3e10})
    shares = [communication_share(dense(), on(gpu, tensor_parallel=4), 8, 1000) for gpu in (LARGE, over_pcie)]
    assert shares[0].high < shares[1].mid
    assert communication_share(dense(), on(), 8, 1000).high == 0


def test_a_pipeline_shortens_prompts_of_many_pieces_and_no_step() -> None:
    one, two = on(max_num_batched_tokens=512), on(max_num_batched_tokens=512, pipeline_parallel=2)
    assert prefill(dense(), two, 8192).mid == pytest.approx(prefill(dense(), one, 8192).mid * 17 / 32, rel=0.05)
    assert prefill(dense(), two, 512).mid >= prefill(dense(), one, 512).mid
    assert decode_step(dense(), two, 1, 100).mid >= decode_step(dense(), one, 1, 100).mid


@given(models, setups, batches, contexts)
def test_ranges_are_ordered_positive_and_finite(model: Architecture, setup: Setup, batch: int, context: int) -> None:
    for figure in (decode_step(model, setup, batch, context), prefill(model, setup, context)):
        assert 0 < figure.low <= figure.mid <= figure.high < math.inf
    share = communication_share(model, setup, batch, context)
    assert 0 <= share.low <= share.mid <= share.high < 1


@given(models, setups, batches, contexts, st.floats(0.1, 1))
def test_more_bandwidth_is_never_slower(
    model: Architecture, setup: Setup, batch: int, context: int, share: float
) -> None:
    assert decode_step(model, setup, batch, context).mid <= decode_step(model, slower(setup, share), batch, context).mid
    assert prefill(model, setup, context).mid <= prefill(model, slower(setup, share), context).mid


@given(models, setups, batches, contexts)
def test_a_larger_batch_is_no_faster_a_step_and_no_slower_a_token(
    model: Architecture, setup: Setup, batch: int, context: int
) -> None:
    one, more = (decode_step(model, setup, size, context).mid for size in (batch, batch + 1))
    assert one <= more * (1 + 1e-9)
    assert batch / one <= (batch + 1) / more * (1 + 1e-9)


@given(models, setups, st.integers(1, 50_000), st.integers(1, 50_000))
def test_a_longer_prompt_or_context_is_never_faster(model: Architecture, setup: Setup, one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert decode_step(model, setup, 4, short).mid <= decode_step(model, setup, 4, long).mid
    assert prefill(model, setup, short).mid <= prefill(model, setup, long).mid * (1 + 1e-9)
