from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slipway.architectures.types import Architecture, LayerGroup, Part, RecurrentState
from slipway.cpus import Cpu
from slipway.errors import SizingError
from slipway.gpus import Gpu, find_gpu, gpus
from slipway.memory import Fit, Setup, changes, explain, fit, impossible, kv_request_bytes, unsupported, weight_only
from slipway.memory.changes import lighter
from slipway.memory.overheads import activations
from slipway.memory.settings import resolved, sglang_fraction
from slipway.memory.versions import CHANGES, behaviour, parse_version
from slipway.memory.weights import rank_bytes
from slipway.units import GIB
from tests.slipway.memory.models import ALL, DEEPSEEK_V3, ENCODER, GEMMA4_31B, LLAMA_8B, NEMOTRON, QWEN35_9B, WHISPER

L4, H100, A100, T4, B200 = (find_gpu(name) for name in ("L4", "H100-SXM", "A100-80", "T4", "B200"))
CPU = Cpu(name="box", cores=16, memory=32 * GIB, bandwidth=1e11, flops=1e12, sources={})
MODELS = st.sampled_from(ALL)
NEW = st.sampled_from([None, "0.9.2", "0.13.0", "0.19.0", "0.21.0", "0.26.0"])
GPUS = st.sampled_from(sorted(gpus()))
SMALL = st.sampled_from(sorted(name for name, gpu in gpus().items() if gpu.usable < 48 * GIB and "bf16" in gpu.flops))
LENGTHS = st.integers(1, 262144)


def gib(found: Fit) -> float:
    return found.kv_available.mid / GIB


@given(
    model=MODELS,
    gpu=GPUS,
    version=NEW,
    length=LENGTHS,
    tensor=st.sampled_from([1, 2, 4, 8]),
    fraction=st.floats(0.05, 1),
    engine=st.sampled_from(["vllm", "sglang", "llama.cpp"]),
)
def test_what_fits_never_exceeds_what_is_usable(
    model: Architecture, gpu: str, version: str | None, length: int, tensor: int, fraction: float, engine: str
) -> None:
    setup = Setup(
        find_gpu(gpu),
        engine=engine,  # type: ignore[arg-type]
        engine_version=version if engine == "vllm" else None,
        tensor_parallel=tensor,
        max_model_len=length,
        memory_fraction=fraction,
    )
    found = fit(model, setup)
    if found.verdict == "no":
        return
    beside = found.libraries.mid + found.graphs.mid + (0 if engine == "sglang" else found.activations.mid)
    held = found.weights.mid + beside + kv_request_bytes(model, setup, length)
    assert held <= found.usable.mid + 1
    assert found.usable.low <= setup.device.usable  # type: ignore[union-attr]
    if found.fits:
        assert found.max_context.low >= min(length, model.context) or found.max_concurrency.low >= 1


@given(model=MODELS, version=NEW, length=LENGTHS, less=st.integers(8, 200), more=st.integers(0, 200))
def test_more_memory_never_lowers_context_or_tokens(
    model: Architecture, version: str | None, length: int, less: int, more: int
) -> None:
    found = []
    for size in (less, less + more):
        # One card that only its memory tells apart: the engine's defaults follow the memory, so they are set.
        gpu = A100.model_copy(update={"usable_mib": size * 1024, "memory_mib": size * 1024})
        setup = Setup(gpu, engine_version=version, max_model_len=length, max_num_seqs=64, max_num_batched_tokens=2048)
        found.append(fit(model, setup))
    small, large = found
    for name in ("kv_available", "kv_tokens", "max_context", "max_concurrency"):
        assert getattr(small, name).mid <= getattr(large, name).mid
        assert getattr(small, name).low <= getattr(large, name).low


@given(model=MODELS, version=NEW, gpu=GPUS, length=LENGTHS, more=st.integers(0, 100_000))
def test_a_longer_request_never_raises_concurrency(
    model: Architecture, version: str | None, gpu: str, length: int, more: int
) -> None:
    """Not so before 0.8, where a longer context turned chunked prefill on (vllm#10517)."""
    setup = Setup(find_gpu(gpu), engine_version=version, max_model_len=length)
    shorter, longer = fit(model, setup), fit(model, replace(setup, max_model_len=length + more))
    assert longer.max_concurrency.mid <= shorter.max_concurrency.mid
    assert longer.max_concurrency.low <= shorter.max_concurrency.low


@given(model=MODELS, tensor=st.sampled_from([1, 2, 4]))
def test_another_cut_never_takes_more_on_a_rank(model: Architecture, tensor: int) -> None:
    assert rank_bytes(model, tensor * 2, 1, False) <= rank_bytes(model, tensor, 1, False)
    assert rank_bytes(model, tensor, 2, False) <= rank_bytes(model, tensor, 1, False)


def test_keys_and_values_on_a_rank_stay_the_same_once_heads_are_repeated() -> None:
    sizes = [fit(LLAMA_8B, Setup(H100, tensor_parallel=ranks)).kv_bytes_per_token for ranks in (1, 2, 4, 8, 16, 32)]
    assert sizes == [131072, 65536, 32768, 16384, 16384, 16384]


@given(model=MODELS, gpu=GPUS, version=NEW, kv=st.sampled_from(["auto", "fp8"]))
def test_bounds_hold_the_best_guess(model: Architecture, gpu: str, version: str | None, kv: str) -> None:
    found = fit(model, Setup(find_gpu(gpu), engine_version=version, kv_dtype=kv))
    assert found.kv_tokens.low <= found.kv_tokens.mid <= found.kv_tokens.high
    assert found.verdict != "fits" or found.kv_available.low >= 0


def test_a_boot_log_is_met() -> None:
    """Llama-3.1-8B on an H100, vLLM 0.11.0: 14.99 of weights, 4.76 of activations, 51.38 GiB left."""
    found = fit(LLAMA_8B, Setup(H100, engine_version="0.11.0", memory_fraction=0.9, max_model_len=16000))
    assert found.weights.mid / GIB == pytest.approx(14.99, rel=0.01)
    assert found.activations.mid / GIB == pytest.approx(4.76, rel=0.01)
    assert gib(found) == pytest.approx(51.38, rel=0.01)
    assert found.graphs.high == 0


def test_a_batch_without_chunks_grows_with_the_context() -> None:
    """vllm#10517: 17.06 GiB with the weights at 20000 tokens, 17.98 at 29000, and 15.05 at 35000, which is chunked."""
    peaks = []
    for length in (20_000, 29_000, 35_000):
        setup = Setup(find_gpu("RTX3090"), engine_version="0.6.x", max_model_len=length)
        peaks.append(activations(LLAMA_8B, resolved(LLAMA_8B, setup), "vllm").mid / GIB)
    assert peaks == pytest.approx([2.07, 2.99, 0.06], abs=0.02)


def test_no_false_promise_where_states_are_too_few() -> None:
    """ "max_num_seqs (256) exceeds available Mamba cache blocks" ends the start of vLLM."""
    tight = Setup(find_gpu("RTX3090"), engine_version="0.21.0", max_model_len=4096)
    model = replace(QWEN35_9B, context=4096, parts=LLAMA_8B.parts)
    assert fit(model, replace(tight, memory_fraction=0.8)).verdict == "no"
    helped = changes(model, replace(tight, memory_fraction=0.8), fit(model, replace(tight, memory_fraction=0.8)))
    assert any("at once (max_num_seqs)" in sentence for sentence in helped)
    assert fit(model, replace(tight, memory_fraction=0.95, max_num_seqs=16)).fits


def test_a_checkpoint_that_asks_for_fp8_keys_gets_them_since_0_14() -> None:
    asks = replace(LLAMA_8B, extra={"kv_bits": 8})
    sizes = {
        (version, kv): fit(asks, Setup(H100, engine_version=version, kv_dtype=kv)).kv_bytes_per_token
        for version, kv in (("0.13.0", "auto"), ("0.14.0", "auto"), ("0.14.0", "bf16"))
    }
    assert list(sizes.values()) == [131072, 65536, 131072]
    assert fit(LLAMA_8B, Setup(H100, engine_version="0.14.0")).kv_bytes_per_token == 131072
    assert fit(asks, Setup(H100, engine="sglang")).kv_bytes_per_token == 131072


def test_what_an_encoder_made_is_no_state_that_all_sequences_must_have() -> None:
    assert fit(WHISPER, Setup(L4, engine_version="0.21.0")).fits


def test_graphs_are_counted_since_0_20() -> None:
    before, after = (
        fit(LLAMA_8B, Setup(L4, engine_version=name, memory_fraction=0.9)) for name in ("0.19.1", "0.20.0")
    )
    assert before.graphs.high == 0
    assert after.graphs.mid / GIB == pytest.approx(0.71, rel=0.01)
    assert fit(LLAMA_8B, Setup(L4, engine_version="0.20.0", cuda_graphs=False)).graphs.high == 0


@pytest.mark.parametrize(
    ("gpu", "version", "tokens", "sequences", "fraction"),
    [
        (L4, None, 2048, 256, 0.92),
        (A100, None, 2048, 256, 0.92),
        (H100, "0.11.0", 8192, 1024, 0.9),
        (H100, "0.8.4", 8192, 256, 0.9),
        (B200, "0.27.0", 8192, 1024, 0.92),
        (B200, "0.28.0", 16384, 1024, 0.92),
    ],
)
def test_defaults_follow_version_and_gpu(
    gpu: Gpu, version: str | None, tokens: int, sequences: int, fraction: float
) -> None:
    plan = resolved(LLAMA_8B, Setup(gpu, engine_version=version))
    assert (plan.batched, plan.sequences, plan.fraction) == (tokens, sequences, fraction)


def test_sglang_keeps_activations_out_of_its_share() -> None:
    assert sglang_fraction(H100.memory_mib, 1) == pytest.approx(0.835, abs=0.01)
    found = fit(LLAMA_8B, Setup(H100, engine="sglang"))
    assert found.usable.mid == pytest.approx(found.weights.mid + found.libraries.mid + found.kv_available.mid)


def test_llama_cpp_gives_every_slot_its_context_from_the_start() -> None:
    one = Setup(CPU, engine="llama.cpp", max_model_len=16384, max_num_seqs=1)
    assert fit(LLAMA_8B, one).verdict == "fits"
    assert fit(LLAMA_8B, replace(one, max_num_seqs=64)).verdict == "no"
    assert changes(LLAMA_8B, replace(one, max_num_seqs=64), fit(LLAMA_8B, replace(one, max_num_seqs=64)))[0].startswith(
        "Serve one request at a time"
    )
    assert fit(LLAMA_8B, replace(one, kv_dtype="q8_0")).kv_bytes_per_token == 131072 * 1.0625 / 2


def test_the_prediction_head_weighs_only_where_it_is_used() -> None:
    model = replace(LLAMA_8B, parts=(*LLAMA_8B.parts, Part("mtp", 10**9, 16)), speculative_layers=1)
    without, used = (fit(model, Setup(H100, speculative_tokens=count)) for count in (0, 2))
    assert used.weights.mid - without.weights.mid == pytest.approx(2e9, rel=0.01)
    assert used.kv_bytes_per_token > without.kv_bytes_per_token


def test_the_files_own_size_is_believed() -> None:
    doubled = replace(LLAMA_8B, file_bytes=int(LLAMA_8B.weight_bytes * 2))
    assert rank_bytes(doubled, 2, 1, False) == pytest.approx(rank_bytes(LLAMA_8B, 2, 1, False) * 2)


def test_encoders_fit_without_a_cache() -> None:
    found = fit(ENCODER, Setup(A100))
    assert (found.verdict, found.kv_bytes_per_token, found.kv_tokens.high) == ("fits", 0, 0)
    assert [term.name for term in explain(ENCODER, Setup(A100), found)][-1] == "KV cache"


def test_terms_add_up() -> None:
    setup = Setup(L4, tensor_parallel=2, max_model_len=8192)
    found = fit(GEMMA4_31B, setup)
    terms = {term.name: term for term in explain(GEMMA4_31B, setup, found)}
    taken = sum(terms[name].size.mid for name in ("weights", "activations", "libraries", "CUDA graphs"))
    assert terms["usable"].size.mid - taken == pytest.approx(terms["KV cache"].size.mid)
    assert "the last tokens (1024)" in terms["one request"].why
    assert terms["usable"].why.startswith("L4, 22.03 GiB × 0.92")


def test_a_near_miss_says_what_to_change_and_what_it_gives() -> None:
    setup = Setup(L4, engine_version="0.21.0", memory_fraction=0.9, max_model_len=65536)
    found = fit(LLAMA_8B, setup)
    sentences = changes(LLAMA_8B, setup, found)
    assert not found.fits
    for start in ("Allow ", "Take an fp8 version", "Cut it over 2 GPUs", "Take "):
        assert any(sentence.startswith(start) for sentence in sentences), start
    assert all("GiB a GPU for the KV cache" in sentence for sentence in sentences)
    assert (
        changes(LLAMA_8B, replace(setup, max_model_len=8192), fit(LLAMA_8B, replace(setup, max_model_len=8192))) == ()
    )


@given(model=MODELS, gpu=SMALL, length=LENGTHS)
def test_what_is_suggested_helps(model: Architecture, gpu: str, length: int) -> None:
    setup = Setup(find_gpu(gpu), max_model_len=length)
    found = fit(model, setup)
    assume(not found.fits and impossible(model, setup) is None)
    shorter = [each for each in changes(model, setup, found) if each.startswith("Allow ")]
    if shorter:
        tokens = int(shorter[0].split()[1].replace(",", ""))
        assert fit(model, replace(setup, max_model_len=tokens)).fits


def test_a_quantised_model_keeps_its_ends() -> None:
    packed = lighter(LLAMA_8B, 4.25, "awq")
    assert {part.name: part.bits for part in packed.parts} == {
        "embedding": 16, "lm_head": 16, "attention": 4.25, "mlp": 4.25, "norms": 16,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("quantization", "dtype", "gpu", "said"),
    [
        ("none", "bf16", T4, "bfloat16 needs 8.0"),
        ("none", "fp16", T4, None),
        ("fp8", "fp16", T4, "fp8 weights need 8.0"),
        ("fp8", "bf16", A100, None),
        ("mxfp4", "fp16", T4, "MXFP4 weights need 8.0"),
        ("nvfp4", "bf16", A100, None),
        ("int8", "bf16", B200, "no int8 kernels"),
        ("gguf:Q4_K_M", "bf16", T4, None),
        ("awq", "fp16", find_gpu("V100-16"), "AWQ weights need 7.5"),
    ],
)
def test_what_a_gpu_cannot_compute_with(quantization: str, dtype: str, gpu: Gpu, said: str | None) -> None:
    model = replace(LLAMA_8B, quantization=quantization, dtype=dtype)
    reason = unsupported(model, gpu)
    assert reason is None if said is None else said in (reason or "")
    assert unsupported(model, gpu, engine="llama.cpp") is None


def test_unpacked_weights_are_remarked_on() -> None:
    assert "fp8 units" in (weight_only(replace(LLAMA_8B, quantization="fp8"), A100) or "")
    assert weight_only(replace(LLAMA_8B, quantization="fp8"), H100) is None


def test_cuts_that_a_model_does_not_allow() -> None:
    setup = Setup(A100, tensor_parallel=3)
    assert impossible(LLAMA_8B, setup) == "32 attention heads cannot be cut into 3"
    assert changes(LLAMA_8B, setup, fit(LLAMA_8B, setup))[0] == "32 attention heads cannot be cut into 3"
    assert impossible(LLAMA_8B, Setup(A100, pipeline_parallel=64)) == "32 layers cannot be cut into 64 stages"
    assert "no prediction head" in (impossible(LLAMA_8B, Setup(A100, speculative_tokens=1)) or "")
    assert "NVFP4 needs 10.0" in (impossible(LLAMA_8B, Setup(A100, kv_dtype="nvfp4")) or "")


def test_a_request_holds_whole_pages() -> None:
    setup = Setup(H100, engine_version="0.21.0")
    assert kv_request_bytes(LLAMA_8B, setup, 1) == 16 * 131072
    assert kv_request_bytes(NEMOTRON, setup, 10) == pytest.approx(5 * 6 * 2096 * 1024)
    assert kv_request_bytes(ENCODER, setup, 10) == 0
    assert kv_request_bytes(DEEPSEEK_V3, replace(setup, tensor_parallel=8), 64) == 64 * 70272


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.21.0", (0, 21, 0)), ("v0.10.2", (0, 10, 2)), ("0.6.x", (0, 6, 99)), ("0.23.0?", (0, 23, 0)),
        ("2026-06", (0, 22, 0)), ("2023-01", (0, 2, 7)), (None, (0, 31, 0)), ("0.8", (0, 8, 0)),
        ("0.23.1rc1.dev531+ga65f93fb2", (0, 23, 1)), ("0.11.0.post1", (0, 11, 0)), (" latest ", (0, 31, 0)),
    ],
)  # fmt: skip
def test_versions_are_read(text: str | None, version: tuple[int, int, int]) -> None:
    assert parse_version("vllm", text) == version


@pytest.mark.parametrize(
    "text", ["new", "0", "-1.2.3", "1,2", "0..1", "x" * 1000, "2026-13", "0.21.0\n; rm", "\u0661.\u0662"]
)
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(SizingError, match="is no version of vllm"):
        parse_version("vllm", text)


@given(st.text(max_size=60))
def test_any_text_is_a_version_or_a_clear_fault(text: str) -> None:
    for engine in ("vllm", "sglang", "llama.cpp"):
        try:
            behaviour(engine, text)
        except SizingError as error:
            said = str(error)
            assert said.count("\n") == 0


def test_changes_are_in_order_and_name_their_source() -> None:
    assert [version for version, _, _ in CHANGES] == sorted(version for version, _, _ in CHANGES)
    assert all(source for _, _, source in CHANGES)


def test_a_layer_group_of_nothing_is_no_fault() -> None:
    bare = replace(LLAMA_8B, groups=(LayerGroup("recurrent", 3),), parts=())
    assert fit(bare, Setup(L4)).kv_tokens.high == 0


STATES = st.builds(
    RecurrentState, st.sampled_from(["conv", "ssm"]), st.integers(0, 10**7), st.sampled_from([1.0, 2.0, 4.0])
)
GROUPS = st.builds(
    LayerGroup,
    state=st.sampled_from(["full", "sliding", "chunked", "latent", "recurrent", "none"]),
    count=st.integers(0, 200),
    kv_heads=st.integers(0, 128),
    key_dim=st.integers(0, 1024),
    value_dim=st.integers(0, 1024),
    window=st.integers(0, 10**6),
    latent_dim=st.integers(0, 4096),
    recurrent=st.lists(STATES, max_size=3).map(tuple),
)
PARTS = st.builds(
    Part,
    name=st.sampled_from(["embedding", "attention", "experts", "norms", "vision", "mtp"]),
    elements=st.integers(0, 10**12),
    bits=st.floats(1, 64),
    split=st.sampled_from(["tensor", "replicated"]),
)


@given(
    groups=st.lists(GROUPS, max_size=5).map(tuple),
    parts=st.lists(PARTS, max_size=5).map(tuple),
    context=st.integers(0, 10**7),
    experts=st.integers(0, 64),
    engine=st.sampled_from(["vllm", "sglang", "llama.cpp"]),
    tensor=st.integers(1, 64),
    pipeline=st.integers(1, 64),
    speculative=st.integers(0, 4),
    version=NEW,
    gpu=GPUS,
)
def test_no_architecture_is_a_fault(
    groups: tuple[LayerGroup, ...],
    parts: tuple[Part, ...],
    context: int,
    experts: int,
    engine: str,
    tensor: int,
    pipeline: int,
    speculative: int,
    version: str | None,
    gpu: str,
) -> None:
    model = replace(LLAMA_8B, groups=groups, parts=parts, context=context, experts_per_token=experts, experts=experts)
    setup = Setup(
        find_gpu(gpu),
        engine=engine,  # type: ignore[arg-type]
        engine_version=version if engine == "vllm" else None,
        tensor_parallel=tensor,
        pipeline_parallel=pipeline,
        speculative_tokens=speculative,
    )
    found = fit(model, setup)
    assert found.max_context.high <= context
    assert found.kv_tokens.low >= 0
    assert explain(model, setup, found)
    assert all(isinstance(sentence, str) for sentence in changes(model, setup, found))
