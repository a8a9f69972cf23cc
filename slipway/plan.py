"""`make_plan`: from settings, a release and its lock to everything that the edges need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.auto import settled
from slipway.desired import (
    ContainerStack,
    Drain,
    HealthGate,
    HostDesired,
    Image,
    ModelFile,
    Needs,
    Package,
    Serving,
    Window,
)
from slipway.engine_facts import FACTS
from slipway.engines import engine_plan
from slipway.errors import PlanError, StaleLockError
from slipway.gates import completion_deadline, health_deadline
from slipway.gpu_layer import gpu_layer_plan
from slipway.gpus import Gpu
from slipway.hosting import needs
from slipway.limits import Limits
from slipway.models import ResolvedModel
from slipway.plan_types import CollectorPlan, EnginePlan, HostPlan, Plan, ProxyPlan, ReplicaPlan, ScalingPlan
from slipway.pods import batch_plan, pod_plan
from slipway.pools import cluster_plan, dns_label, namespace_of
from slipway.releases import GpuWish, Lock, Release, check_lock, gpu_desired
from slipway.rollout import Policy, plan_waves
from slipway.settings import Settings
from slipway.settings.resolving import cloud_of, gpu_of, resolve_model, settle_seconds
from slipway.units import MIB

if TYPE_CHECKING:
    from slipway.advice.types import Advice

FIRST_ENGINE_PORT = 9000


@dataclass(frozen=True)
class BuiltImage:
    """An image that was built on this computer. `reference` is its id, `digest` the one of its manifest."""

    reference: str
    archive: str | None = None
    archive_sha256: str | None = None
    digest: str | None = None


def make_plan(
    settings: Settings,
    release: Release,
    lock: Lock,
    images: Mapping[str, BuiltImage],
    *,
    stack: str = "local",
    advice: Advice | None = None,
) -> Plan:
    """The plan of one stack. `images` are those built here, by the name of their recipe. `advice` is what decided
    settings that are settled already.

    Raises `StaleLockError` when the lock is not of this release as it is now, and `PlanError` when an image is missing
    or is not the one that the lock pins. Where the settings ask for `gpu`, what advice chooses is planned; what
    `slipway.auto.settled` raises, this raises.
    """
    settings, asked = settled(settings)
    advice = asked or advice
    stale = check_lock(release, lock)
    if stale:
        raise StaleLockError(
            "; ".join(f"{problem.key}: {problem.what}" for problem in stale),
            where=f"lock of release {release.name}",
            fix=f"Run `slipway lock --release {release.name}`",
        )
    model = resolve_model(settings)
    needed = _Images(settings, release, lock, images)
    engine = engine_plan(settings, model, needed.engine())
    proxy, collector = needed.named("proxy"), needed.named("collector")
    replicas = _replicas(settings, engine, 1 if settings.kind == "node-pool" else settings.engine.replicas)
    gate = _gate(settings, model, engine, replicas)
    drain = Drain(settle=settle_seconds(settings), deadline=settings.drain.deadline)
    names = host_names(settings, stack)
    _check_renewal(settings, names)
    domains = host_domains(settings, names)
    waves = plan_waves(names, _policy(settings), domains)
    file = ModelFile(
        source=model.source.text, sha256=model.sha256, size=model.size, path=model.path, endpoint=model.endpoint
    )
    cluster = None
    if settings.kind == "node-pool":
        pod = pod_plan(settings, engine, file, gate, drain)
        gpu = gpu_layer_plan(settings, release, namespace_of(settings, stack), needed.named)
        batch = batch_plan(settings, engine, needed.named)
        cluster = cluster_plan(settings, stack, pod, _scaling(advice), gpu=gpu, batch=batch)
    return Plan(
        stack=stack,
        provider=settings.provider,
        release=release.name,
        model_name=model.name,
        model=file,
        context=model.context,
        engine=engine,
        replicas=replicas,
        proxy=_proxy(settings, proxy),
        collector=CollectorPlan(
            image=collector,
            memory_mib=settings.collector.memory // MIB,
            otlp_endpoint=settings.collector.otlp_endpoint,
        ),
        host=_host(
            settings,
            release,
            lock,
            (engine.image, proxy, collector),
            gpu=_gpu(settings, advice),
            serving=_serving(gate, drain),
            needs=needs(settings, release, model.size),
        ),
        hosts=_hosts(settings, names, {name: wave.index for wave in waves for name in wave.hosts}, domains),
        waves=waves,
        gate=gate,
        drain=drain,
        scaling=_scaling(advice),
        windows=tuple(Window(cron=w.cron, seconds=w.duration, zone=w.zone) for w in settings.rollout.windows),
        limits=_limits(settings),
        model_region=settings.model.region,
        cluster=cluster,
    )


def host_names(settings: Settings, stack: str) -> tuple[str, ...]:
    """Names of the stack's hosts, in order: those of the inventory, or `<stack>-0`, `<stack>-1`, …; none in a pool."""
    if settings.kind == "node-pool":
        return ()
    if settings.provider == "ssh":
        return tuple(host.name for host in settings.ssh.inventory)
    return tuple(f"{dns_label(stack)}-{index}" for index in range(settings.hosts.count))


def _check_renewal(settings: Settings, names: tuple[str, ...]) -> None:
    unknown = [name for name in settings.hosts.renew if name not in names]
    if unknown:
        what = f"the stack has no host {unknown[0]}"
        raise PlanError(what, where="slipway:hosts.renew", fix=f"Its hosts are {', '.join(names)}")


def host_domains(settings: Settings, names: tuple[str, ...]) -> dict[str, str | None]:
    """What each host fails together with: what the inventory says, or the cloud's zone."""
    if settings.provider == "ssh":
        return {host.name: host.domain for host in settings.ssh.inventory}
    cloud = cloud_of(settings)
    return {name: cloud.domain(index) if cloud is not None else None for index, name in enumerate(names)}


class _Images:
    """Where each image comes from: an archive of the stack file, a registry, or a recipe built here."""

    def __init__(self, settings: Settings, release: Release, lock: Lock, built: Mapping[str, BuiltImage]) -> None:
        self.settings, self.release, self.lock, self.built = settings, release, lock, built

    def engine(self) -> Image:
        name = FACTS[self.settings.engine.name].image
        if name is not None:
            return self.named(name)
        reference = self.settings.engine.image
        if reference is None:
            raise PlanError("a custom engine needs its image", where="slipway:engine.image", fix="Add it, by digest")
        return Image(name="engine-custom", reference=reference)

    def named(self, name: str) -> Image:
        pulled = self.settings.cluster.images.get(name)
        if pulled is not None:
            return Image(name=name, reference=pulled)
        archive = self.settings.container.archives.get(name)
        if archive is not None:
            return Image(name=name, reference=archive.image_id, archive=archive.path, archive_sha256=archive.sha256)
        where = f"release {self.release.name}"
        pin = self.release.images.get(name)
        if pin is None:
            raise PlanError(f"there is no image {name}", where=where, fix="Use a release that has it")
        if pin.reference is not None:
            return Image(name=name, reference=pin.reference)
        if pin.repository is not None:
            return self._pulled(name, pin.repository, where)
        return self._from_recipe(name, pin.build or name, where)

    def _pulled(self, name: str, repository: str, where: str) -> Image:
        digest = self.lock.images.get(name)
        if digest is None:
            version = self.release.images[name].version
            fix = (
                f"Run `slipway lock --release {self.release.name} --image {name}=sha256:…` with the digest of "
                f"{repository}:{version}, or give it as slipway:container.archives.{name}"
            )
            raise PlanError(f"the lock has no digest of the image {name}", where=where, fix=fix)
        return Image(name=name, reference=f"{repository}@{digest}")

    def _from_recipe(self, name: str, recipe: str, where: str) -> Image:
        if self.settings.kind == "node-pool":
            what = f"the image {name} is built from a recipe, and a cluster pulls its images"
            fix = f"Push it to a registry of yours, and write slipway:cluster.images.{name}: repository@sha256:…"
            raise PlanError(what, where=where, fix=fix)
        image = self.built.get(recipe)
        if image is None:
            fix = f"Run `make images`, or give it as slipway:container.archives.{name}"
            raise PlanError(
                f"the image {name} is built from a recipe, and was not built here yet", where=where, fix=fix
            )
        locked = self.lock.images.get(name)
        if locked is not None and locked not in (image.reference, image.digest):
            what = f"the image {name} built here is {image.digest or image.reference}, and the lock pins {locked}"
            raise PlanError(
                what, where=where, fix=f"Run `slipway lock --release {self.release.name}` to take the new one"
            )
        return Image(name=name, reference=image.reference, archive=image.archive, archive_sha256=image.archive_sha256)


def _policy(settings: Settings) -> Policy:
    policy = settings.rollout
    return Policy(policy.canary, policy.wave, policy.bake, policy.max_unavailable)


def _limits(settings: Settings) -> Limits:
    said = settings.rollout.limits.model_dump()
    return Limits(**{**said, "errors": float(said["errors"].removesuffix("%")) / 100})


def _replicas(settings: Settings, engine: EnginePlan, count: int) -> tuple[ReplicaPlan, ...]:
    """Neighbouring GPUs share the fastest links, so each replica gets a run of them. Slices of GPUs share nothing, so
    that replicas go from GPU to GPU."""
    size, gpus = engine.gpus_per_replica, settings.engine.gpus
    if settings.driver.mig is not None and size:
        return tuple(
            ReplicaPlan(index, FIRST_ENGINE_PORT + index, (index % gpus,), slice=index // gpus)
            for index in range(count)
        )
    return tuple(
        ReplicaPlan(index, FIRST_ENGINE_PORT + index, tuple(range(index * size, (index + 1) * size)))
        for index in range(count)
    )


def _proxy(settings: Settings, image: Image) -> ProxyPlan:
    proxy = settings.proxy
    return ProxyPlan(
        image=image,
        port=proxy.port,
        concurrency=proxy.concurrency,
        queue=proxy.queue,
        queue_seconds=int(proxy.queue_timeout),
        retry_after_seconds=int(proxy.retry_after),
        stream_seconds=int(proxy.stream_timeout),
        key_requests=proxy.key_requests,
    )


def _scaling(advice: Advice | None) -> ScalingPlan | None:
    """The thresholds that advice chose, where it was asked and chose something."""
    if advice is None or advice.chosen is None:
        return None
    choice = advice.chosen.choice
    return ScalingPlan(waiting=choice.scale_up_waiting, kv=choice.scale_up_kv, cold_start=choice.cold_start)


def _gpu(settings: Settings, advice: Advice | None) -> Gpu | None:
    """The GPU that advice chose, where it was asked and chose one; else that of the hosts' offer."""
    device = advice.chosen.setup.device if advice is not None and advice.chosen is not None else None
    return device if isinstance(device, Gpu) else gpu_of(settings)


def _host(
    settings: Settings,
    release: Release,
    lock: Lock,
    images: tuple[Image, ...],
    *,
    gpu: Gpu | None,
    serving: Serving,
    needs: Needs,
) -> HostDesired:
    container = settings.container
    return HostDesired(
        release=release.name,
        os=release.os[0],
        packages=tuple(Package(name=name, version=version) for name, version in sorted(lock.packages.items())),
        container=ContainerStack(
            runtime=release.runtime,
            log_max_size=docker_size(container.log_max_size),
            log_max_files=container.log_max_files,
            registry_mirrors=container.registry_mirrors,
        ),
        images=images,
        apt_sources=container.apt_sources,
        gpu=gpu_desired(release, lock, GpuWish(**vars(settings.driver)), count=settings.engine.gpus, gpu=gpu),
        serving=serving,
        needs=needs,
    )


def docker_size(size: int) -> str:
    """Bytes as Docker's log options read them, where k, m and g are powers of a thousand."""
    for unit, factor in (("g", 10**9), ("m", 10**6), ("k", 10**3)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def _hosts(
    settings: Settings, names: tuple[str, ...], wave: Mapping[str, int], domains: Mapping[str, str | None]
) -> tuple[HostPlan, ...]:
    if settings.provider != "ssh":
        return tuple(HostPlan(name, wave[name], domain=domains[name]) for name in names)
    return tuple(
        HostPlan(
            name=host.name,
            wave=wave[host.name],
            address=host.address,
            ssh_port=host.port,
            ssh_user=host.user or settings.ssh.user,
            host_key=host.host_key,
            domain=host.domain,
        )
        for host in settings.ssh.inventory
    )


def _gate(
    settings: Settings, model: ResolvedModel, engine: EnginePlan, replicas: tuple[ReplicaPlan, ...]
) -> HealthGate:
    return HealthGate(
        engines=tuple(replica.url for replica in replicas),
        proxy=f"https://127.0.0.1:{settings.proxy.port}",
        model=model.name,
        health_path=engine.health_path,
        health_deadline=health_deadline(settings, model.size).seconds,
        completion_deadline=completion_deadline(settings, model.size).seconds,
    )


def _serving(gate: HealthGate, drain: Drain) -> Serving:
    return Serving(drain=drain, ready=f"{gate.proxy}/ready", deadline=gate.start_deadline + gate.health_deadline)


def with_placeholders(release: Release, images: Mapping[str, BuiltImage]) -> dict[str, BuiltImage]:
    """`images`, and a stand-in for each recipe that was not built here: for looking at a plan, not for acting on it."""
    recipes = {pin.build for pin in release.images.values() if pin.build is not None}
    return {name: BuiltImage(reference=f"not-built-yet:{name}") for name in recipes} | dict(images)
