"""Rules across fields: each value is fine by itself, and together they are not.

A rule takes settings and yields findings. `uses` names the other settings that it looked at: when one of those is
wrong already, the finding is not shown, because it may only be a consequence.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator

from slipway.engine_facts import FACTS
from slipway.models import catalogue, parse_source
from slipway.releases import load_releases
from slipway.settings import (
    aws_rules,
    azure_rules,
    cloud_rules,
    cluster_rules,
    driver_rules,
    gcp_rules,
    pod_rules,
    sizing_rules,
    weights_rules,
)
from slipway.settings.finding import Finding, engine_is_open
from slipway.settings.resolving import shares_of
from slipway.settings.sections import Settings
from slipway.units import MIB, BadValueError, about_bytes, format_duration
from slipway.windows import check_cron, check_length, check_zone

RESERVED_PORTS = {
    22: "SSH",
    8404: "the proxy's metrics",
    9464: "the collector's metrics",
    13133: "the collector's health",
}
FIRST_ENGINE_PORT = 9000

SYSTEM_MEMORY = 512 * MIB
"""what Debian, the container runtime, proxy and collector need beside the model; measured on the local stack"""
SYSTEM_DISK = 4096 * MIB
"""Debian, images and logs"""

SECRET_NAME = re.compile(r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|SECRET_KEY|ACCESS_KEY)$")


def findings(settings: Settings) -> list[Finding]:
    """Everything that the rules find."""
    return [found for rule in RULES for found in rule(settings)]


def provider(settings: Settings) -> Iterator[Finding]:
    cluster = settings.provider == "kubernetes"
    if settings.kind == "node-pool" and settings.provider in ("local", "ssh"):
        fix = "Use kind host, or a provider with clusters: kubernetes, upcloud, aws, gcp or azure"
        yield Finding(("kind",), f"the provider {settings.provider} has no node pools", fix, (("provider",),))
    if cluster and settings.kind == "host":
        what = "the provider kubernetes has node pools only, and kind is host"
        yield Finding(("kind",), what, f"Write {'slipway:kind'}: node-pool", (("provider",),))
    if settings.provider != "local" and "local" in settings.model_fields_set:
        fix = "Take the section out, or write provider: local"
        yield Finding(("local",), f"this describes local machines, and the provider is {settings.provider}", fix)


def inventory(settings: Settings) -> Iterator[Finding]:
    hosts, where = settings.ssh.inventory, ("ssh", "inventory")
    if settings.provider != "ssh":
        if hosts:
            fix = "Take the inventory out, or write provider: ssh"
            yield Finding(where, f"the provider {settings.provider} makes its own hosts", fix, (("provider",),))
        return
    if not hosts:
        fix = "List the hosts, each with name, address and host_key"
        yield Finding(where, "the provider ssh needs the hosts that exist, and there are none", fix, (("provider",),))
    if "hosts" in settings.model_fields_set and settings.hosts.count != len(hosts):
        what = f"hosts.count is {settings.hosts.count}, and slipway:ssh.inventory lists {len(hosts)}"
        yield Finding(
            ("hosts", "count"), what, "Take slipway:hosts out; the inventory says which hosts there are", (where,)
        )
    names = Counter(host.name for host in hosts)
    places = Counter((host.address.lower(), host.port) for host in hosts)
    for index, host in enumerate(hosts):
        if names[host.name] > 1 and index > next(i for i, h in enumerate(hosts) if h.name == host.name):
            yield Finding((*where, index, "name"), f"{host.name!r} names two hosts", "Give each a name of its own")
        place = (host.address.lower(), host.port)
        first = next(i for i, h in enumerate(hosts) if (h.address.lower(), h.port) == place)
        if places[place] > 1 and index > first:
            what = f"{host.address}:{host.port} is the address of {hosts[first].name} already"
            yield Finding((*where, index, "address"), what, "List each machine once")
        if host.host_key is None and settings.ssh.host_key_policy == "pinned":
            what = f"host keys are pinned, and {host.name} has none"
            port = "" if host.port == 22 else f"-p {host.port} "
            fix = (
                f"Add what `ssh-keyscan {port}-t ed25519 {host.address}` prints, or set ssh.host_key_policy: accept-new"
            )
            yield Finding((*where, index, "host_key"), what, fix, (("ssh", "host_key_policy"),))


def model(settings: Settings) -> Iterator[Finding]:
    chosen = settings.model
    known = catalogue().get(chosen.name)
    if known is None or chosen.source is not None:
        for field in ("source", "sha256", "size", "context"):
            if getattr(chosen, field) is None and not (known and field == "context"):
                yield _model_lacks(chosen.name, field)
                if field == "source":
                    return
    if known is not None and chosen.source is None:
        for field in ("sha256", "size"):
            value = getattr(chosen, field)
            if value is not None and value != getattr(known, field):
                fix = "Take it out, or add the source of the other file"
                yield Finding(
                    ("model", field), f"the {field} of {chosen.name} in the catalogue is {getattr(known, field)}", fix
                )
        if chosen.context is not None and chosen.context > known.context:
            what = f"{chosen.context} tokens are more than the {known.context} that {chosen.name} was trained for"
            yield Finding(("model", "context"), what, f"Write {known.context} or fewer")
    if chosen.size == 0:
        yield Finding(
            ("model", "size"), "a model file is not empty", "Write its exact size, as `stat -c %s FILE` prints it"
        )
    if settings.engine.name == "llama.cpp" and chosen.source is not None and not engine_is_open(settings):
        name = parse_source(chosen.source).basename
        if not name.endswith(".gguf"):
            what = f"llama.cpp reads GGUF files, and this names {name}"
            yield Finding(("model", "source"), what, "Name a .gguf file, or use vllm or sglang", (("engine", "name"),))


def _model_lacks(name: str, field: str) -> Finding:
    near = difflib.get_close_matches(name, catalogue(), n=1)
    if field == "source":
        what = f"{name!r} is not in the catalogue, and there is no source"
        fix = (
            f"Did you mean {near[0]}?"
            if near
            else "Add source, sha256, size and context, or use " + ", ".join(catalogue())
        )
        return Finding(("model", "name"), what, fix, (("model", "source"),))
    fix = {
        "sha256": "Add what `sha256sum FILE` prints",
        "size": "Add its exact size, as `stat -c %s FILE` prints it",
        "context": "Add the tokens that a request may hold, such as 8192",
    }[field]
    return Finding(("model", field), f"a model that is not in the catalogue needs its {field}", fix)


def secrets(settings: Settings) -> Iterator[Finding]:
    for name in settings.engine.env:
        if SECRET_NAME.search(name):
            what = f"{name} looks like a secret, and this file keeps it in clear"
            yield Finding(
                ("engine", "env", name), what, "Fetch the model from a source that needs no secret, or a mirror"
            )


def engine(settings: Settings) -> Iterator[Finding]:
    if engine_is_open(settings):
        return
    chosen, facts = settings.engine, FACTS[settings.engine.name]
    custom = chosen.name == "custom"
    name_used = (("engine", "name"),)
    if custom and chosen.image is None:
        yield Finding(
            ("engine", "image"), "a custom engine needs its image", "Add image: repository@sha256:…", name_used
        )
    for field in ("image", "health_path", "metrics_path"):
        if not custom and getattr(chosen, field) is not None:
            what = f"only a custom engine has this, and the engine is {chosen.name}"
            yield Finding(("engine", field), what, "Take it out, or write name: custom", name_used)
    if chosen.memory_fraction is not None and facts.memory_fraction is None:
        what = f"only vllm and sglang have this, and the engine is {chosen.name}"
        yield Finding(("engine", "memory_fraction"), what, "Take it out", name_used)
    if chosen.threads is not None and chosen.name != "llama.cpp":
        what = f"only llama.cpp has this, and the engine is {chosen.name}"
        yield Finding(("engine", "threads"), what, "Take it out", name_used)
    if custom and not any("{port}" in argument for argument in chosen.args):
        what = "no argument holds {port}, so that a custom engine cannot know its port"
        yield Finding(("engine", "args"), what, 'Add it where the port belongs, such as "--port={port}"', name_used)
    for index, argument in enumerate(chosen.args):
        flag = argument.split("=", 1)[0]
        if flag in facts.owned_flags:
            fix = "Take it out" if facts.owned_flags[flag] == "" else f"Use {facts.owned_flags[flag]}"
            yield Finding(("engine", "args", index), f"{flag} is written by Slipway itself", fix, name_used)
    if chosen.kv_dtype != "auto" and chosen.kv_dtype not in facts.kv_dtypes:
        known = ", ".join(("auto", *facts.kv_dtypes)) if facts.kv_dtypes else "auto; a custom engine takes it in args"
        what = f"{chosen.name} has no KV cache of type {chosen.kv_dtype}"
        yield Finding(("engine", "kv_dtype"), what, f"Write one of {known}", name_used)
    if chosen.max_batched_tokens is not None and facts.batched_tokens is None:
        what = f"only vllm and sglang have this, and the engine is {chosen.name}"
        yield Finding(("engine", "max_batched_tokens"), what, "Take it out", name_used)


def gpus(settings: Settings) -> Iterator[Finding]:
    if settings.gpu is not None:
        return  # asked again once they are chosen
    chosen = settings.engine
    used = (("engine", "name"), ("engine", "gpus"), ("engine", "replicas"), ("engine", "tensor_parallel"))
    if FACTS[chosen.name].needs_gpu and chosen.gpus == 0:
        fix = "Write gpus: 1 or more, or use llama.cpp, which serves from the CPU"
        yield Finding(("engine", "gpus"), f"{chosen.name} needs a GPU, and gpus is 0", fix, used)
    elif chosen.tensor_parallel > max(chosen.gpus, 1):
        what = f"tensor_parallel {chosen.tensor_parallel} is more than the {chosen.gpus} GPUs of a host"
        yield Finding(("engine", "tensor_parallel"), what, "Raise gpus or lower tensor_parallel", used)
    elif (
        settings.driver.mig is None
        and chosen.gpus
        and chosen.replicas * chosen.tensor_parallel > chosen.gpus * shares_of(settings)
    ):
        needed = chosen.replicas * chosen.tensor_parallel
        what = (
            f"{chosen.replicas} replicas of {chosen.tensor_parallel} GPUs need {needed}, and a host has {chosen.gpus}"
        )
        yield Finding(("engine", "replicas"), what, "Raise gpus, or lower replicas or tensor_parallel", used)


def release(settings: Settings) -> Iterator[Finding]:
    releases = load_releases()
    chosen = releases.get(settings.release)
    if chosen is None:
        near = difflib.get_close_matches(settings.release, releases, n=1)
        fix = f"Did you mean {near[0]}?" if near else "Known releases: " + ", ".join(sorted(releases))
        yield Finding(("release",), f"there is no release {settings.release!r}", fix)
        return
    image = FACTS[settings.engine.name].image
    if (
        image is not None
        and image not in chosen.images
        and not engine_is_open(settings)
        and FACTS[settings.engine.name].needs_gpu == (settings.engine.gpus > 0)
    ):
        have = ", ".join(name.removeprefix("engine-") for name in sorted(chosen.images) if name.startswith("engine-"))
        what = f"release {chosen.name} has no image of {settings.engine.name}"
        yield Finding(("engine", "name"), what, f"Use another release, or one of its engines: {have}", (("release",),))
    if settings.engine.gpus and chosen.gpu is None:
        what = f"release {chosen.name} is for CPUs, and gpus is {settings.engine.gpus}"
        yield Finding(("engine", "gpus"), what, "Use a GPU release, or write gpus: 0", (("release",),))
    for name in settings.container.archives:
        if name not in chosen.images:
            what = f"release {chosen.name} has no image {name!r}"
            fix = "Its images are " + ", ".join(sorted(chosen.images))
            yield Finding(("container", "archives", name), what, fix, (("release",),))


def ports(settings: Settings) -> Iterator[Finding]:
    port, replicas = settings.proxy.port, settings.engine.replicas
    taken = RESERVED_PORTS.get(port)
    if taken is None and FIRST_ENGINE_PORT <= port < FIRST_ENGINE_PORT + replicas:
        taken = f"engine {port - FIRST_ENGINE_PORT}"
    if taken is not None:
        fix = "Use another, such as 8443"
        yield Finding(("proxy", "port"), f"port {port} belongs to {taken}", fix, (("engine", "replicas"),))


def durations(settings: Settings) -> Iterator[Finding]:
    for loc, value in (
        (("proxy", "queue_timeout"), settings.proxy.queue_timeout),
        (("proxy", "stream_timeout"), settings.proxy.stream_timeout),
        (("proxy", "retry_after"), settings.proxy.retry_after),
    ):
        if value < 1 or value != int(value):
            what = f"{format_duration(value)} is not a whole number of seconds, 1 or more"
            yield Finding(loc, what, 'Write one, such as "15s"')
    for field in ("health", "completion"):
        value = getattr(settings.gate, field)
        if value is not None and value < 1:
            yield Finding(("gate", field), f"no engine answers within {format_duration(value)}", 'Write "1s" or more')


def sizes(settings: Settings) -> Iterator[Finding]:
    if settings.container.log_max_size < MIB:
        what = f"{about_bytes(settings.container.log_max_size)} is less than 1 MiB, and would rotate all the time"
        yield Finding(("container", "log_max_size"), what, 'Write "1MiB" or more')
    if settings.collector.memory < 64 * MIB:
        what = f"{about_bytes(settings.collector.memory)} is less than the 64 MiB that the collector starts with"
        yield Finding(("collector", "memory"), what, 'Write "64MiB" or more')
    known = catalogue().get(settings.model.name)
    size = settings.model.size or (known.size if known else 0)
    if settings.provider == "local" and size:
        used = (("model", "size"), ("engine", "replicas"), ("provider",))
        for field, base, have, times in (
            ("memory", SYSTEM_MEMORY, settings.local.memory, settings.engine.replicas),
            ("disk", SYSTEM_DISK, settings.local.disk, 1),
        ):
            need = base + size * times
            if have < need:
                weights = (f"{times} times " if times > 1 else "") + about_bytes(size)
                what = f"{about_bytes(have)} is less than {about_bytes(base)} for the system + {weights} for the model"
                yield Finding(("local", field), what, f'Write "{-(-need // MIB)}MiB" or more', used)


def apt_sources(settings: Settings) -> Iterator[Finding]:
    for index, source in enumerate(settings.container.apt_sources):
        if not source.startswith(("deb ", "deb-src ")) and "URIs:" not in source:
            what = f"{source[:40]!r} is no apt source"
            fix = 'Write a line such as "deb https://mirror.example/debian bookworm main", or a deb822 paragraph'
            yield Finding(("container", "apt_sources", index), what, fix)


def rollout(settings: Settings) -> Iterator[Finding]:
    if settings.kind == "node-pool":
        return
    hosts = len(settings.ssh.inventory) if settings.provider == "ssh" else settings.hosts.count
    policy, used = settings.rollout, (("hosts",), ("ssh", "inventory"), ("rollout", "max_unavailable"))
    if policy.canary > hosts > 0:
        what = f"a canary of {policy.canary} is more than all hosts, of which there are {hosts}"
        yield Finding(("rollout", "canary"), what, f"Write {hosts} or fewer", used)
    elif isinstance(policy.max_unavailable, int) and policy.canary > policy.max_unavailable:
        what = f"a canary of {policy.canary} is more than max_unavailable {policy.max_unavailable}"
        yield Finding(("rollout", "canary"), what, f"Write {policy.max_unavailable} or fewer", used)


def windows(settings: Settings) -> Iterator[Finding]:
    for index, window in enumerate(settings.rollout.windows):
        for field, check in (("cron", check_cron), ("duration", check_length), ("zone", check_zone)):
            try:
                check(getattr(window, field))
            except BadValueError as error:
                yield Finding(("rollout", "windows", index, field), error.what, error.fix)


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    provider,
    inventory,
    release,
    model,
    engine,
    gpus,
    ports,
    durations,
    sizes,
    apt_sources,
    rollout,
    windows,
    secrets,
    *sizing_rules.RULES,
    *cloud_rules.RULES,
    *aws_rules.RULES,
    *gcp_rules.RULES,
    *azure_rules.RULES,
    *driver_rules.RULES,
    *cluster_rules.RULES,
    *pod_rules.RULES,
    *weights_rules.RULES,
)
