"""`gpu: auto`: what advice chooses fills in what the stack file leaves open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.auto import architecture_of, offers_of, settled
from slipway.errors import PlanError, SettingsError
from slipway.memory.types import Setup
from slipway.offers import device
from slipway.plan import make_plan
from slipway.plan_types import ScalingPlan
from slipway.releases import Release, load_lock, load_release
from slipway.settings.resolving import resolve_model
from slipway.settings.rules import findings
from slipway.speed import decode_step, prefill
from tests.slipway.stack_files import BUILT, HOST_KEY, LOCAL, settings

LOW = (
    "  slipway:gpu: auto\n"
    "  slipway:workload: {requests_per_second: 0.005, prompt: {mean: 64}, output: {mean: 32},"
    " first_token: 20s, per_token: 500ms}\n"
)
SSH = (
    LOCAL.replace("provider: local", "provider: ssh")
    + f'  slipway:ssh: {{inventory: [{{name: h1, address: 192.0.2.1, host_key: "{HOST_KEY}"}}]}}\n'
)
MINE = "  slipway:offers: [{provider: ssh, instance: mine, vcpus: 8, memory: 32GiB, price: 0.1}]\n"
BIG = LOCAL.replace("provider: local", "provider: upcloud").replace(
    "model: smollm2-135m-instruct",
    "model: {name: chat, architecture: Qwen/Qwen2.5-7B-Instruct, source: 'hf://Qwen/Qwen2.5-7B-Instruct@a09a354/m.safetensors',"
    f" sha256: {'a' * 64}, size: 15231233024, context: 8192}}\n"
    "  slipway:upcloud: {zone: fi-hel2, ssh_from: [192.0.2.7]}",
)


def test_without_gpu_nothing_is_chosen() -> None:
    asked = settings()
    assert settled(asked) == (asked, None)


def test_the_local_stack_serves_from_its_cpu() -> None:
    done, advice = settled(settings(LOW))
    assert advice is not None
    assert advice.device.verdict == "cpu"
    assert (done.engine.name, done.engine.gpus, done.engine.replicas) == ("llama.cpp", 0, 1)
    assert advice.chosen is not None
    choice = advice.chosen.choice
    assert (done.proxy.concurrency, done.proxy.queue) == (choice.concurrency, choice.queue)
    assert done.model.context == choice.max_model_len
    assert "CPU, 1 host local machine (2 vCPUs), llama.cpp, 1 replica a host, €0 a month" in advice.summary[0]


LIGHT = "  slipway:gpu: auto\n  slipway:workload: {requests_per_second: 0.1, prompt: {mean: 64}, output: {mean: 64}}\n"
"""short questions now and then, with the targets that are assumed of a conversation"""


def test_the_stack_file_that_comes_with_slipway_serves_a_light_load_from_two_cpus() -> None:
    base = (Path(__file__).parents[2] / "stacks/Pulumi.local.yaml").read_text(encoding="utf-8")
    done, advice = settled(settings(LIGHT, base=base))
    assert advice is not None
    assert advice.chosen is not None
    assert (advice.device.verdict, advice.chosen.offer.vcpus, done.engine.gpus) == ("cpu", 2, 0)
    assert advice.workload.first_token == 2.0
    (note,) = advice.chosen.notes
    assert note.startswith("with busy neighbours a token may take 2.4 times as long: of 24 GB/s that its cores draw")


def test_two_cpus_are_estimated_as_they_were_measured() -> None:
    """`python -m bench.sizing_cpu` on two cores of an EPYC at 2.45 GHz: 134 tokens/s of output on an idle machine; 106
    of output and 154 of prompt while others worked on it."""
    asked = settings(LIGHT)
    (machine,) = offers_of(asked)
    setup = Setup(device(machine), engine="llama.cpp", max_model_len=2048)
    architecture = architecture_of(asked, resolve_model(asked))
    step, prompt = decode_step(architecture, setup, 1, 32), prefill(architecture, setup, 512)
    assert step.low < 1 / 134 < step.high
    assert 1 / step.mid == pytest.approx(134, rel=0.25)
    assert prompt.low < 512 / 154 < prompt.high


def test_long_prompts_are_too_much_for_two_cpus() -> None:
    with pytest.raises(PlanError, match=r"first token [0-9]+ s > 2 s") as caught:
        settled(settings("  slipway:gpu: auto\n"))
    assert "local machine" in str(caught.value)


def test_what_was_chosen_is_planned() -> None:
    release, lock = load_release("local-2026.11"), load_lock("local-2026.11")
    asked = settings(LOW)
    done, advice = settled(asked)
    plan = make_plan(asked, release, lock, BUILT)
    assert plan == make_plan(done, release, lock, BUILT, advice=advice)
    assert replace(plan, scaling=None) == make_plan(done, release, lock, BUILT)
    assert plan.engine.name == "llama.cpp"
    assert plan.context == done.model.context
    slots = plan.proxy.concurrency
    assert plan.engine.argv[plan.engine.argv.index("--ctx-size") + 1] == str(plan.context * slots)


def test_thresholds_of_scaling_are_planned() -> None:
    release, lock = load_release("local-2026.11"), load_lock("local-2026.11")
    _, advice = settled(settings(LOW))
    assert advice is not None
    assert advice.chosen is not None
    choice = advice.chosen.choice
    scaling = make_plan(settings(LOW), release, lock, BUILT).scaling
    assert scaling == ScalingPlan(choice.scale_up_waiting, choice.scale_up_kv, choice.cold_start)
    assert make_plan(settings(), release, lock, BUILT).scaling is None


def test_what_is_settled_stays_and_has_no_problem() -> None:
    done, _ = settled(settings(LOW))
    assert settled(done) == (done, None)
    assert findings(done) == []


@pytest.mark.parametrize(
    ("said", "path", "value"),
    [
        ("slipway:engine: {replicas: 1, shm: 1GiB}", ("engine", "shm"), 2**30),
        ("slipway:engine: {gpus: 0}", ("engine", "gpus"), 0),
        ("slipway:engine: {kv_dtype: q8_0}", ("engine", "kv_dtype"), "q8_0"),
        ("slipway:proxy: {concurrency: 2}", ("proxy", "concurrency"), 2),
        ("slipway:proxy: {queue: 3, queue_timeout: 7s}", ("proxy", "queue"), 3),
        ("slipway:proxy: {stream_timeout: 11m}", ("proxy", "stream_timeout"), 660.0),
    ],
)
def test_what_the_stack_file_says_wins(said: str, path: tuple[str, str], value: object) -> None:
    done, advice = settled(settings(f"{LOW}  {said}\n"))
    assert getattr(getattr(done, path[0]), path[1]) == value
    assert advice is not None
    assert advice.chosen is not None


def test_the_context_that_is_said_is_what_is_sized_for() -> None:
    base = LOCAL.replace("model: smollm2-135m-instruct", "model: {name: smollm2-135m-instruct, context: 256}")
    done, advice = settled(settings(LOW, base=base))
    assert advice is not None
    assert (advice.workload.context, done.model.context) == (256, 256)


def test_hosts_that_exist_are_what_their_offer_says() -> None:
    done, advice = settled(settings(LOW + MINE, base=SSH))
    assert advice is not None
    assert advice.chosen is not None
    assert (advice.chosen.offer.instance, advice.chosen.hosts, done.hosts.count) == ("mine", 1, 1)
    assert advice.chosen.costs.per_month == pytest.approx(73)


def test_a_release_without_gpus_is_the_rules_sentence() -> None:
    with pytest.raises(SettingsError, match=r"slipway:engine.gpus: release local-2026.11 is for CPUs") as caught:
        settled(settings("  slipway:gpu: L40S\n", base=BIG))
    assert "chosen for slipway:gpu" in str(caught.value)


@pytest.fixture
def gpu_release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """A release with an image of vLLM, as none ships yet."""
    local = load_release("local-2026.11")
    found = Release.model_validate(
        local.model_dump()
        | {
            "images": local.model_dump()["images"] | {"engine-vllm": {"build": "engine-vllm"}},
            "gpu": {
                "driver": "580.126.20", "branch": "580", "modules": "open", "cuda": "13.0",
                "toolkit": {"version": "1.20.0"}, "archive": "nvidia",
            },
        }
    )  # fmt: skip
    monkeypatch.setattr("slipway.settings.rules.load_releases", lambda: {"local-2026.11": found})
    return found


@pytest.mark.usefixtures("gpu_release")
def test_a_gpu_gets_vllm() -> None:
    done, advice = settled(settings("  slipway:gpu: [L40S, H100-SXM]\n", base=BIG))
    assert advice is not None
    assert advice.chosen is not None
    engine = done.engine
    assert (engine.name, engine.gpus, engine.tensor_parallel, engine.replicas) == ("vllm", 1, 1, 1)
    assert advice.chosen.offer.gpu == "L40S"
    assert (engine.memory_fraction, engine.max_batched_tokens) == (0.9, 2048)
    assert (done.hosts.count, done.model.context) == (advice.chosen.hosts, 8192)
    assert done.upcloud.plan == advice.chosen.offer.instance == "GPU-8xCPU-64GB-1xL40S"


@pytest.mark.usefixtures("gpu_release")
def test_the_plan_of_the_stack_file_is_the_only_one_that_is_asked_about() -> None:
    base = BIG.replace("zone: fi-hel2", "zone: fi-hel2, plan: GPU-16xCPU-80GB-1xRTXPRO6000")
    done, advice = settled(settings("  slipway:gpu: auto\n", base=base))
    assert advice is not None
    assert advice.chosen is not None
    assert {option.offer.instance for option in advice.options} == {"GPU-16xCPU-80GB-1xRTXPRO6000"}
    assert done.upcloud.plan == "GPU-16xCPU-80GB-1xRTXPRO6000"


@pytest.mark.usefixtures("gpu_release")
def test_a_named_gpu_and_its_count_are_kept() -> None:
    more = "  slipway:gpu: RTXPRO6000\n  slipway:engine: {name: vllm, gpus: 2, tensor_parallel: 2, kv_dtype: fp8}\n"
    done, advice = settled(settings(more, base=BIG))
    assert advice is not None
    assert advice.chosen is not None
    assert advice.chosen.setup.kv_dtype == "fp8"
    assert (done.engine.gpus, done.engine.tensor_parallel, done.engine.kv_dtype) == (2, 2, "fp8")


def test_weights_are_those_of_the_file() -> None:
    asked = settings(LOW)
    found = architecture_of(asked, resolve_model(asked))
    assert found.weight_bytes == 98_362_432
    assert found.quantization == "gguf:Q4_1"
    assert {round(part.bits, 1) for part in found.parts} == {5.8}


def test_an_own_price_replaces_the_listed_one() -> None:
    own = (
        "  slipway:gpu: auto\n"
        "  slipway:offers: [{provider: upcloud, region: fi-hel2, instance: GPU-8xCPU-64GB-1xL40S, gpu: L40S, gpus: 1,"
        " vcpus: 8, memory: 64GiB, price: 0.5}]\n"
    )
    found = [item for item in offers_of(settings(own, base=BIG)) if item.instance == "GPU-8xCPU-64GB-1xL40S"]
    assert [item.price for item in found] == [0.5]
    assert {item.provider for item in found} == {"upcloud"}


@pytest.mark.parametrize(
    ("more", "sentences"),
    [
        (
            "  slipway:gpu: auto\n  slipway:workload: {requests_per_second: 100}\n",
            ("none of 1 offer meets every target; nearest is local machine: first token", "Allow more time"),
        ),
        (
            LOW.replace("0.005", "5"),
            ("hosts needed > 1", "Allow more hosts, or expect fewer requests"),
        ),
        (
            "  slipway:gpu: auto\n  slipway:engine: {name: vllm}\n",
            ("vllm serves from GPUs, and this has none", "Name another model, other GPUs or other providers"),
        ),
    ],
)
def test_what_nothing_meets_says_what_to_relax(more: str, sentences: tuple[str, ...]) -> None:
    with pytest.raises(PlanError, match="slipway:gpu") as caught:
        settled(settings(more))
    for sentence in sentences:
        assert sentence in str(caught.value)


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs/advise.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    done, advice = settled(settings(example.removeprefix("config:\n")))
    assert advice is not None
    assert done.engine.name == "llama.cpp"


def test_an_architecture_that_is_not_known() -> None:
    asked = settings(LOW)
    unknown = asked.model_copy(update={"model": asked.model.model_copy(update={"architecture": "nobody/nothing"})})
    with pytest.raises(PlanError, match=r"slipway:model.architecture: 'nobody/nothing' is no model") as caught:
        settled(unknown)
    assert "Add architecture" in str(caught.value)
