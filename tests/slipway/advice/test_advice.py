"""What holds of every advice, on the shipped offers and on made-up ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slipway import memory, speed
from slipway.advice import advise
from slipway.advice.ranking import ranked
from slipway.advice.search import UNSUPPORTED, Candidate, Search
from slipway.advice.types import Advice, Fixed
from slipway.architectures import catalogue
from slipway.errors import SizingError
from slipway.gpus import gpus
from slipway.offers import Offer, offers
from slipway.workload import Served, Workload, assume

SMALL, MIDDLE, LARGE = "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-72B-Instruct"


def asked(model: str = MIDDLE, workload: dict[str, Any] | None = None, **more: Any) -> Advice:
    return advise(catalogue.find(model), Workload.model_validate(workload or {}), more.pop("listed", offers()), **more)


def offer(**more: Any) -> Offer:
    base = {"provider": "mine", "instance": "box", "vcpus": 16, "memory": "256GiB", "price": 1, "source": "a test"}
    return Offer.model_validate(base | {"date": "2026-11"} | more)


@given(
    model=st.sampled_from([SMALL, MIDDLE, "Qwen/Qwen3-30B-A3B", LARGE]),
    rate=st.sampled_from([0.001, 0.1, 3.0, 50.0]),
    prompt=st.sampled_from([50, 1000, 6000]),
    mode=st.sampled_from(["real-time", "batch"]),
)
@hypothesis_settings(max_examples=40)
def test_the_ranking(model: str, rate: float, prompt: int, mode: str) -> None:
    workload = {"mode": mode, "requests_per_second": rate, "prompt": {"mean": prompt}}
    found = asked(model, workload)
    listed = offers()
    assert len(found.options) + len(found.rejections) == len(listed)
    prices = [option.costs.per_month for option in found.options]
    assert prices == sorted(prices)
    for option in found.options:
        choice, best = option.choice, option.capacity.best
        assert option.fit.fits
        assert best is not None
        assert choice.concurrency <= max(best.batch, 1)
        assert option.hosts * choice.replicas >= option.replicas.count
        assert choice.replicas * max(1, choice.tensor_parallel) <= max(1, option.offer.gpus)
        assert best.per_token.mid <= found.workload.per_token
        assert best.first_token_p95.mid <= found.workload.first_token
        assert choice.queue >= 1
        assert choice.queue_timeout == int(choice.queue_timeout)
    for rejection in found.rejections:
        assert rejection.why
    if found.chosen is not None:
        assert found.device.verdict == ("gpu" if found.chosen.setup.gpus else "cpu")
        assert (found.several is None) == (found.device.verdict == "cpu")
        assert found.chosen.choice.why.keys() >= {"max_num_seqs", "queue", "health_deadline"}
        assert found.chosen.curve


def test_each_reason_shows_both_sides() -> None:
    found = asked(LARGE, {"requests_per_second": 1})
    assert all(any(sign in item.why for sign in (">", "<", ";")) for item in found.rejections)
    assert all(item.figure and item.why for item in found.device.criteria)
    assert [item.name for item in found.device.criteria] == [
        "latency",
        "concurrency",
        "size",
        "steadiness",
        "complexity",
    ]


def test_where_prices_are_equal_the_smaller_is_first() -> None:
    listed = (
        offer(instance="two", gpu="L40S", gpus=2),
        offer(instance="one", gpu="L40S", gpus=1),
        offer(instance="more-memory", gpu="L40S", gpus=1, memory="512GiB"),
    )
    found = asked(MIDDLE, listed=listed)
    assert [option.offer.instance for option in found.options] == ["one", "more-memory", "two"]


def test_a_cpu_that_costs_the_same_wins() -> None:
    workload = {"requests_per_second": 0.01, "prompt": {"mean": 50}, "output": {"mean": 50}, "first_token": "10s"}
    listed = (offer(instance="gpu", gpu="L4", gpus=1), offer(instance="cpu", cpu="epyc-genoa", vcpus=64))
    assert asked(SMALL, workload, listed=listed).device.verdict == "cpu"
    cheaper = (listed[0].model_copy(update={"price": 0.5}), listed[1])
    assert asked(SMALL, workload, listed=cheaper).device.verdict == "gpu"


def test_several_gpus_where_one_is_too_small() -> None:
    found = asked(LARGE, listed=(offer(gpu="H100-SXM", gpus=8),))
    assert found.several is not None
    assert (found.several.constraint, found.several.gpus) == ("does not fit", 4)
    assert found.several.communication.mid > 0
    assert "one GPU: weights" in found.several.why
    assert "a GPU that fails takes" in found.several.why


def test_several_gpus_where_one_is_too_slow() -> None:
    found = asked("Qwen/Qwen2.5-32B-Instruct", {"first_token": "150ms"}, listed=(offer(gpu="H100-SXM", gpus=8),))
    assert found.several is not None
    assert found.several.constraint == "latency"
    assert found.several.gpus > 1


def test_several_gpus_that_are_asked_for() -> None:
    found = asked(SMALL, fixed=Fixed(tensor_parallel=2), listed=(offer(gpu="L4", gpus=2),))
    assert found.several is not None
    assert (found.several.constraint, found.several.gpus) == ("none", 2)
    assert "2 GPUs are asked for" in found.several.why


def test_one_gpu_a_replica_where_one_does() -> None:
    found = asked(MIDDLE, {"requests_per_second": 20}, listed=(offer(gpu="H100-SXM", gpus=8),))
    assert found.several is not None
    assert (found.several.constraint, found.several.gpus) == ("none", 1)
    assert found.chosen is not None
    assert found.chosen.choice.replicas == 8


@pytest.mark.parametrize(
    ("workload", "more", "second", "relax"),
    [
        ({"first_token": "1ms"}, {}, "first token", "Allow more time"),
        ({"requests_per_second": 500}, {"fixed": Fixed(hosts=1)}, "needed > 1", "Allow more hosts"),
        ({"context": 30000}, {"listed": (offer(gpu="T4", gpus=1),)}, "T4", "Name another model"),
        ({"context": 30000}, {"listed": (offer(gpu="A10", gpus=1),)}, "weights 27.5 GiB > 22.0 GiB", "quantised"),
        ({"context": 1_000_000}, {}, "context 1000000 > 32768 tokens", "Name another model"),
    ],
)
def test_targets_that_nothing_meets(workload: dict[str, Any], more: dict[str, Any], second: str, relax: str) -> None:
    found = asked("Qwen/Qwen2.5-14B-Instruct", workload, **more)
    assert found.chosen is None
    assert found.options == ()
    assert found.several is None
    assert "none of" in found.summary[0]
    assert found.summary[1].startswith("nearest is ")
    assert second in found.summary[1]
    assert relax in found.summary[2]


def test_a_context_too_long_says_what_would_fit() -> None:
    found = asked("Qwen/Qwen3-8B", {"context": 40000}, listed=(offer(gpu="A10", gpus=1),))
    assert found.chosen is None
    assert "context 40000 > " in found.summary[1]
    assert "tokens that fit beside the weights" in found.summary[1]
    assert "Shorten the context" in found.summary[2]


def test_rejections_begin_with_the_nearest() -> None:
    found = asked(MIDDLE, {"first_token": "50ms"})
    late = [item for item in found.rejections if item.why.startswith("first token")]
    assert found.rejections[0] == late[0]
    assert found.rejections[-1].why != late[0].why


def test_offers_can_be_narrowed() -> None:
    found = asked(providers=["aws"], gpus=["l40s"])
    every = [item.offer for item in (*found.options, *found.rejections)]
    assert {(item.provider, item.gpu) for item in every} == {("aws", "L40S")}
    with pytest.raises(SizingError, match="there is no offer of nowhere"):
        asked(providers=["nowhere"])
    with pytest.raises(SizingError, match="'L41S' is no GPU"):
        asked(gpus=["L41S"])


def test_contradictions_are_one_sentence() -> None:
    with pytest.raises(SizingError, match="no requests at all"):
        asked(workload={"requests_per_second": 0})


@pytest.mark.parametrize(
    ("fixed", "check"),
    [
        (Fixed(tensor_parallel=2), lambda found: found.setup.tensor_parallel == 2),
        (Fixed(gpus=2), lambda found: found.choice.gpus == 2),
        (Fixed(gpus=0), lambda found: found.setup.gpus == 0),
        (Fixed(replicas=2), lambda found: found.choice.replicas == 2),
        (Fixed(max_num_seqs=3), lambda found: found.choice.max_num_seqs == 3),
        (Fixed(max_model_len=2048), lambda found: found.choice.max_model_len == 2048),
        (Fixed(max_num_batched_tokens=1024), lambda found: found.choice.max_num_batched_tokens == 1024),
        (Fixed(memory_fraction=0.7), lambda found: found.choice.memory_fraction == 0.7),
        (Fixed(kv_dtype="fp8"), lambda found: found.choice.kv_dtype == "fp8"),
    ],
)
def test_what_is_fixed_stays(fixed: Fixed, check: Any) -> None:
    workload = {"requests_per_second": 0.05, "prompt": {"mean": 100}, "output": {"mean": 50}, "first_token": "10s"}
    found = asked(SMALL, workload, fixed=fixed)
    assert found.chosen is not None, found.summary
    assert check(found.chosen)


def test_a_model_for_llama_cpp_only() -> None:
    found = asked(MIDDLE, engine="llama.cpp", gpus=["L40S"])
    assert found.chosen is not None
    assert found.chosen.choice.engine == "llama.cpp"
    assert found.chosen.choice.max_num_batched_tokens is None


def test_a_model_that_a_cpu_cannot_read() -> None:
    search = Search(catalogue.find(SMALL), assume(Workload()), fixed=Fixed(cpu_engine=False))
    miss = search.on(offer())
    assert not isinstance(miss, Candidate)
    assert (miss.stage, "GGUF" in miss.what) == (UNSUPPORTED, True)


@pytest.mark.parametrize(("purpose", "gpus"), [("full", 2), ("lora", 1), ("qlora", 1)])
def test_fine_tuning_is_judged_by_memory(purpose: str, gpus: int) -> None:
    found = asked(MIDDLE, {"purpose": purpose})
    assert found.options == ()
    assert found.tuning
    assert [item.per_hour for item in found.tuning] == sorted(item.per_hour for item in found.tuning)
    assert all(item.fit.fits for item in found.tuning)
    assert found.tuning[0].gpus >= gpus
    assert "fine-tune" in found.summary[0]
    assert any("has none" in item.why for item in found.rejections)


@pytest.mark.parametrize(("many", "said"), [(1, "; 1 offer holds it"), (2, "; 2 offers hold it")])
def test_how_many_offers_hold_a_fine_tuning(many: int, said: str) -> None:
    listed = tuple(offer(instance=f"box-{index}", gpu="L4", gpus=1) for index in range(many))
    assert asked("Qwen/Qwen3-0.6B", {"purpose": "qlora"}, listed=listed).summary[2].endswith(said)


def test_fine_tuning_that_fits_nowhere() -> None:
    found = asked(LARGE, {"purpose": "full"}, listed=(offer(gpu="L4", gpus=1), offer()))
    assert found.tuning == ()
    assert "no offer holds" in found.summary[0]
    assert "usable a GPU" in found.summary[1]


@pytest.mark.parametrize("model", ["openai/whisper-large-v3", "BAAI/bge-large-en-v1.5"])
def test_what_is_assumed_of_lengths_keeps_within_the_model(model: str) -> None:
    found = asked(model)
    assert found.chosen is not None
    assert found.workload.context == catalogue.find(model).context
    assert ("context", "the longest that the model was made for") in {(a.name, a.why) for a in found.workload.assumed}


@pytest.mark.parametrize("model", ["BAAI/bge-m3", "BAAI/bge-reranker-v2-m3", "Qwen/Qwen3-Embedding-0.6B"])
def test_what_generates_nothing_is_paid_by_the_tokens_of_its_prompts(model: str) -> None:
    found = asked(model)
    assert found.chosen is not None
    costs, workload = found.chosen.costs, found.workload
    assert (workload.output_mean, costs.tokens) == (0, "prompt")
    month = workload.mean * workload.prompt_mean * 3600 * 730 / 1e6
    assert costs.per_million_tokens == pytest.approx(costs.per_month / month)
    assert any("tokens of prompts, as nothing is generated" in line for line in costs.why)
    assert found.chosen.capacity.best is not None
    assert found.chosen.capacity.best.per_token.high == 0
    assert "a token" not in found.summary[1]


def test_speech_is_heard_before_its_first_word() -> None:
    """1500 positions go through Whisper's encoder, whatever the prompt."""
    found = asked("openai/whisper-large-v3", {"first_token": "60s"}, listed=(offer(gpu="L4", gpus=1),))
    assert found.chosen is not None
    assert found.chosen.capacity.best is not None
    flops = gpus()["L4"].flops["bf16"]
    assert found.chosen.capacity.best.first_token.mid > 2 * 1500 * 6e8 / flops


def test_what_is_given_of_lengths_does_not() -> None:
    found = asked("BAAI/bge-large-en-v1.5", {"prompt": {"mean": 2000}})
    assert found.chosen is None
    assert "512 tokens that the model was made for" in found.rejections[0].why


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(catalogue.names())),
    st.sampled_from([0.05, 2.0, 50.0]),
    st.sampled_from(["real-time", "batch"]),
)
def test_ranking_takes_no_short_cut_that_shows(model: str, rate: float, mode: str) -> None:
    """What is measured once and shared, and the numbers that stand in for sentences, are those of the plain way."""
    architecture = catalogue.find(model)
    given_ = Workload.model_validate({"requests_per_second": rate, "mode": mode})
    workload = assume(given_, Served(architecture.task, architecture.context))
    listed = offers()
    found, missed = ranked(Search(architecture, workload), listed)
    assert len(found) + len(missed) == len(listed)
    for item in found:
        candidate = item.candidate
        alone = Search(architecture, workload)._search(
            candidate.offer, candidate.offer.gpus, on_cpu=candidate.offer.gpu is None
        )
        assert isinstance(alone, Candidate)
        assert (alone.per_host, alone.hosts) == (candidate.per_host, candidate.hosts)
        measured = candidate.measured
        assert measured.fit == memory.fit(architecture, measured.setup)
        plain = speed.capacity(architecture, measured.setup, measured.fit, workload)
        assert (measured.best, measured.limited_by) == (plain.best, plain.limited_by)
        assert measured.count == speed.replicas(plain, workload).count
