from __future__ import annotations

import dataclasses

import pytest

from slipway.errors import PlanError, StaleLockError
from slipway.gates import completion_deadline, health_deadline
from slipway.limits import Limits
from slipway.plan import BuiltImage, docker_size, host_names, make_plan, with_placeholders
from slipway.plan_types import Plan
from slipway.releases import load_lock, load_release
from slipway.settings import Settings
from slipway.settings.driver import DriverSettings
from slipway.settings.resolving import resolve_model
from slipway.settings.sections import EngineSettings
from tests.slipway.stack_files import BUILT, HOST_KEY, LOCAL, settings

RELEASE = load_release("local-2026.11")
LOCK = load_lock("local-2026.11")


def plan(chosen: Settings, stack: str = "local") -> Plan:
    return make_plan(chosen, RELEASE, LOCK, BUILT, stack=stack)


def test_the_local_stack() -> None:
    made = plan(settings())
    assert [host.name for host in made.hosts] == ["local-0"]
    assert [(replica.index, replica.port, replica.gpus) for replica in made.replicas] == [(0, 9000, ())]
    assert made.model.path == "/var/lib/slipway/models/b179c9523d0e6a0f/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert made.context == 8192
    assert made.host.os == "debian:12"
    assert {package.name: package.version for package in made.host.packages} == LOCK.packages
    assert [image.reference for image in made.host.images] == [image.reference for image in BUILT.values()]
    assert made.gate.model == "smollm2-135m-instruct"
    assert made.gate.engines == ("http://127.0.0.1:9000",)
    assert made.waves[0].bake_seconds == 0


def test_settings_reach_the_plan() -> None:
    made = plan(
        settings(
            "  slipway:engine: {replicas: 2}\n"
            "  slipway:hosts: {count: 5}\n"
            "  slipway:proxy: {port: 443, concurrency: 8, queue: 9, queue_timeout: 20s,"
            " stream_timeout: 2m, retry_after: 3s}\n"
            "  slipway:rollout: {canary: 1, wave: 2, bake: 1m, limits: {errors: 0.5%, per_token: 2, min_requests: 5}}\n"
            "  slipway:container: {log_max_size: 20MB, log_max_files: 5, registry_mirrors: ['https://mirror.example']}\n"
            "  slipway:collector: {memory: 512MiB, otlp_endpoint: 'https://telemetry.example:4317'}\n"
            "  slipway:drain: {settle: 10s, deadline: 2m}\n"
            "  slipway:gate: {health: 10m, completion: 90s}\n"
        ),
        stack="Team_A.prod",
    )
    assert [host.name for host in made.hosts] == [f"team-a-prod-{index}" for index in range(5)]
    assert [wave.hosts for wave in made.waves] == [
        made_names(made, 0, 1),
        made_names(made, 1, 3),
        made_names(made, 3, 5),
    ]
    assert [host.wave for host in made.hosts] == [0, 1, 1, 2, 2]
    assert [wave.bake_seconds for wave in made.waves] == [60.0, 60.0, 0.0]
    assert made.limits == Limits(errors=0.005, latency=1.5, first_token=1.5, per_token=2.0, min_requests=5)
    proxy = made.proxy
    assert (proxy.port, proxy.concurrency, proxy.queue) == (443, 8, 9)
    assert (proxy.queue_seconds, proxy.stream_seconds, proxy.retry_after_seconds) == (20, 120, 3)
    assert (made.host.container.log_max_size, made.host.container.log_max_files) == ("20m", 5)
    assert made.host.container.registry_mirrors == ("https://mirror.example",)
    assert (made.collector.memory_mib, made.collector.otlp_endpoint) == (512, "https://telemetry.example:4317")
    assert (made.drain.settle, made.drain.deadline) == (10.0, 120.0)
    assert (made.gate.health_deadline, made.gate.completion_deadline) == (600.0, 90.0)
    assert made.gate.proxy == "https://127.0.0.1:443"
    assert [replica.port for replica in made.replicas] == [9000, 9001]


def made_names(made: Plan, start: int, end: int) -> tuple[str, ...]:
    return tuple(host.name for host in made.hosts[start:end])


def test_hosts_that_exist() -> None:
    inventory = (
        "  slipway:ssh:\n    user: admin\n    inventory:\n"
        f'      - {{name: gpu-1, address: 192.0.2.11, host_key: "{HOST_KEY}"}}\n'
        f'      - {{name: gpu-2, address: 192.0.2.12, port: 2222, user: root, host_key: "{HOST_KEY}"}}\n'
    )
    made = plan(settings(inventory, base=LOCAL.replace("provider: local", "provider: ssh")))
    assert [(h.name, h.address, h.ssh_port, h.ssh_user, h.host_key) for h in made.hosts] == [
        ("gpu-1", "192.0.2.11", 22, "admin", HOST_KEY),
        ("gpu-2", "192.0.2.12", 2222, "root", HOST_KEY),
    ]


def test_an_image_from_a_file_is_taken_before_one_built_here() -> None:
    digit = "d" * 64
    made = plan(
        settings(
            "  slipway:container:\n    archives:\n"
            f"      proxy: {{path: /srv/proxy.tar, sha256: {digit}, image_id: 'sha256:{digit}'}}\n"
        )
    )
    image = made.proxy.image
    assert (image.reference, image.archive, image.archive_sha256) == ("sha256:" + digit, "/srv/proxy.tar", digit)


def test_an_image_from_a_registry() -> None:
    reference = "registry.example/proxy@sha256:" + "e" * 64
    images = RELEASE.images | {
        "proxy": RELEASE.images["proxy"].model_copy(update={"build": None, "reference": reference})
    }
    release = RELEASE.model_copy(update={"images": images})
    made = make_plan(
        settings(), release, _lock_for(release), {name: BUILT[name] for name in ("engine-llama-cpp", "collector")}
    )
    assert (made.proxy.image.reference, made.proxy.image.archive) == (reference, None)


def _lock_for(release: object) -> object:
    from slipway.releases.locks import fingerprint

    return LOCK.model_copy(update={"fingerprint": fingerprint(release)})  # type: ignore[arg-type]


def test_an_image_that_was_not_built() -> None:
    with pytest.raises(PlanError, match="the image engine-llama-cpp is built from a recipe") as caught:
        make_plan(settings(), RELEASE, LOCK, {})
    assert "make images" in str(caught.value)
    made = make_plan(settings(), RELEASE, LOCK, with_placeholders(RELEASE, {}))
    assert made.engine.image.reference == "not-built-yet:engine-llama-cpp"


def test_an_image_that_is_not_the_locked_one() -> None:
    lock = LOCK.model_copy(update={"images": {"proxy": "sha256:" + "f" * 64}})
    with pytest.raises(PlanError, match="the lock pins sha256:ffff"):
        make_plan(settings(), RELEASE, lock, BUILT)
    for found in ({"reference": lock.images["proxy"]}, {"digest": lock.images["proxy"]}):
        images = BUILT | {"proxy": dataclasses.replace(BUILT["proxy"], **found)}
        assert make_plan(settings(), RELEASE, lock, images).proxy.image.name == "proxy"


def test_a_stale_lock_makes_no_plan() -> None:
    release = RELEASE.model_copy(update={"packages": (*RELEASE.packages, "jq")})
    with pytest.raises(StaleLockError, match=r"packages\.jq.*slipway lock --release local-2026\.11") as caught:
        make_plan(settings(), release, LOCK, BUILT)
    assert caught.value.exit_code == 3


def test_a_custom_engine_brings_its_image() -> None:
    reference = "registry.example/engine@sha256:" + "a" * 64
    made = plan(settings(f"  slipway:engine: {{name: custom, image: '{reference}', args: ['--port={{port}}']}}\n"))
    assert made.engine.image.reference == reference
    assert made.engine.argv_for(made.replicas[0]) == ("--port=9000",)


def test_each_replica_gets_neighbouring_gpus() -> None:
    from slipway.plan import _replicas

    engine = dataclasses.replace(plan(settings()).engine, gpus_per_replica=4)
    found = _replicas(settings(), engine, 2)
    assert [replica.gpus for replica in found] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert found[1].devices == ("4", "5", "6", "7")


def test_each_replica_gets_a_slice_of_a_gpu_that_is_cut() -> None:
    from slipway.plan import _replicas

    engine = dataclasses.replace(plan(settings()).engine, gpus_per_replica=1)
    cut = settings().model_copy(
        update={"engine": EngineSettings(gpus=2, replicas=5), "driver": DriverSettings(mig="3g.40gb")}
    )
    assert [replica.devices for replica in _replicas(cut, engine, 5)] == [
        ("0:0",), ("1:0",), ("0:1",), ("1:1",), ("0:2",),
    ]  # fmt: skip


def test_the_deadlines_show_their_arithmetic() -> None:
    health, completion = health_deadline(settings(), 98_362_432), completion_deadline(settings(), 98_362_432)
    assert health.seconds == 62
    assert health.why == "60 s to start + 93.8 MiB at 50 MB/s from disk = 62 s"
    assert completion.seconds == 32
    assert completion.why == "30 s + 32 tokens x 93.8 MiB at 2 GB/s from memory = 32 s"


def test_the_deadlines_cover_what_was_measured() -> None:
    gpu = settings().model_copy(update={"engine": EngineSettings(name="vllm", gpus=1)})
    assert health_deadline(gpu, 27_000_000_000).seconds >= 12 * 60
    assert health_deadline(gpu, 35_000_000_000).seconds >= 904
    assert health_deadline(gpu, 447_000_000_000).seconds >= 90 * 60
    assert completion_deadline(gpu, 1).seconds == 120


def test_replicas_read_the_model_at_the_same_time() -> None:
    two = settings("  slipway:engine: {replicas: 2}\n")
    assert health_deadline(two, 500_000_000).why == "60 s to start + 2 x 476.8 MiB at 50 MB/s from disk = 80 s"


def test_the_catalogue_fills_in_the_model() -> None:
    model = resolve_model(settings())
    assert (model.size, model.context) == (98_362_432, 8192)
    assert (
        resolve_model(
            settings(
                base=LOCAL.replace(
                    "slipway:model: smollm2-135m-instruct", "slipway:model: {name: smollm2-135m-instruct, context: 512}"
                )
            )
        ).context
        == 512
    )
    lost = settings().model_copy(update={"model": settings().model.model_copy(update={"name": "lost"})})
    with pytest.raises(PlanError, match="not fully described"):
        resolve_model(lost)


def test_host_names_are_labels() -> None:
    assert host_names(settings(), "___") == ("host-0",)
    assert all(len(name) <= 63 for name in host_names(settings(), "x" * 100))


@pytest.mark.parametrize(
    ("size", "text"), [(50_000_000, "50m"), (2_000_000_000, "2g"), (1_048_576, "1048576"), (64_000, "64k")]
)
def test_sizes_as_docker_reads_them(size: int, text: str) -> None:
    assert docker_size(size) == text


def test_a_built_image_may_have_no_archive() -> None:
    assert BuiltImage(reference="sha256:x").archive is None
