"""Operations on the container runtime: its settings, its service, the images."""

from __future__ import annotations

import json
import shlex
from typing import Any

from bootstrap.facts import Facts
from bootstrap.operations.step import Plan, Put, Refusal, Run, Send, Step, Steps
from bootstrap.session import Command
from slipway.desired import HostDesired, Image
from slipway.errors import VerifyError

CONFIG_PATH = "/etc/docker/daemon.json"
PRESENT = f"find {CONFIG_PATH} -newermt now -exec touch {{}} \\;"
"""before the daemon starts: a clock that was set back leaves a file of the future behind, than which none is newer"""
WAYS: dict[str, tuple[str, str, object]] = {
    "cdi": ("features", "cdi", True),
    "runtime": ("runtimes", "nvidia", {"args": [], "path": "nvidia-container-runtime"}),
}
"""how Docker is told to give GPUs to containers; the runtime as `nvidia-ctk runtime configure` writes it"""
ARCHIVES = "/var/lib/slipway/archives"
PULL_DEADLINE = 3600.0
"""seconds: an engine image with CUDA is 10 GB; at 30 Mbit/s that is 45 minutes"""
LOAD_DEADLINE = 1800.0
START_DEADLINE = 120.0


def wanted_config(desired: HostDesired, current: str | None) -> str:
    """daemon.json with our keys set and everybody else's kept. Unreadable JSON is refused, not overwritten."""
    try:
        config: Any = json.loads(current) if current and current.strip() else {}
    except ValueError as error:
        config = error
    if not isinstance(config, dict):
        raise Refusal(
            VerifyError,
            f"{CONFIG_PATH} is not a JSON object ({config})",
            "Put it right or remove it: Slipway keeps what others set there, so it must be able to read it.",
        )
    container = desired.container
    config |= {
        "log-driver": "json-file",
        "log-opts": {"max-size": container.log_max_size, "max-file": str(container.log_max_files)},
        "live-restore": container.live_restore,
    }
    config.pop("registry-mirrors", None)
    if container.registry_mirrors:
        config["registry-mirrors"] = list(container.registry_mirrors)
    if desired.gpu is not None:
        # By CDI, devices are in the container's own settings, and survive `systemctl daemon-reload`, which takes them
        # from containers that a hook gave them to (https://github.com/NVIDIA/nvidia-docker/issues/1730). Where Docker
        # knows no CDI, NVIDIA's runtime writes them there.
        key, name, value = WAYS[desired.gpu.devices]
        others = config.get(key)
        config[key] = (others if isinstance(others, dict) else {}) | {name: value}
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def configure_docker(facts: Facts, desired: HostDesired) -> Steps:
    current = facts.files.get(CONFIG_PATH)
    content = wanted_config(desired, current)
    if current == content:
        return Steps(f"{CONFIG_PATH} is as wanted")
    return Steps(f"{CONFIG_PATH} is not as wanted", (Put(CONFIG_PATH, content),))


def run_docker(facts: Facts, desired: HostDesired) -> Steps:
    docker, plan = facts.docker, Plan()
    why = []
    if docker.enabled != "enabled" or docker.active != "active":
        why.append(f"docker.service is {docker.active} and {docker.enabled or 'not there'}")
        plan.run(
            f"{PRESENT}; systemctl reset-failed docker.service 2>/dev/null; systemctl enable --now docker.service",
            "start Docker, now and at every boot",
            deadline=START_DEADLINE,
        )
    # "stale" outlives a run that died between the file and the restart.
    changed = facts.files.get(CONFIG_PATH) != wanted_config(desired, facts.files.get(CONFIG_PATH))
    if docker.active == "active" and (docker.stale or changed):
        why.append("the daemon runs with other settings than daemon.json's")
        script = f"{PRESENT}; systemctl restart docker.service"
        plan.run(script, "let Docker read its settings", deadline=START_DEADLINE)
    return plan.done("; ".join(why) or "docker.service is enabled and runs with its settings")


def present(facts: Facts, reference: str) -> bool:
    """Whether the host has the image: by its id, or by the digest it was pulled by."""
    return any(image.id == reference or _same(reference, image.digests) for image in facts.images)


def _same(reference: str, digests: tuple[str, ...]) -> bool:
    # Docker drops the default registry from the names it shows.
    short = reference.removeprefix("docker.io/").removeprefix("library/")
    return reference in digests or short in digests


def bring_images(facts: Facts, desired: HostDesired) -> Steps:
    missing = [image for image in desired.images if not present(facts, image.reference)]
    if not missing:
        return Steps(f"all {len(desired.images)} images are there")
    steps = [step for image in missing for step in _bring(image)]
    return Steps(f"missing: {', '.join(image.name for image in missing)}", tuple(steps))


def _bring(image: Image) -> list[Step]:
    reference = shlex.quote(image.reference)
    if image.archive is None or image.archive_sha256 is None:
        return [Run(Command(f"docker pull -q {reference}", f"pull the image {image.name}", deadline=PULL_DEADLINE))]
    remote = f"{ARCHIVES}/{image.name}.tar"
    script = (
        f"docker load -q -i {shlex.quote(remote)} || exit\n"
        f"docker image inspect {reference} >/dev/null || "
        f"{{ echo 'the archive holds no image {image.reference}' >&2; exit 1; }}\n"
        f"rm -f {shlex.quote(remote)}"
    )
    return [
        Send(image.archive, remote, image.archive_sha256.removeprefix("sha256:")),
        Run(Command(script, f"load the image {image.name}", deadline=LOAD_DEADLINE)),
    ]
