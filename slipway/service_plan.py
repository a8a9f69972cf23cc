"""From a plan and its rendered files to the service that a host should carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slipway.desired import HostFile, ServiceDesired, Unit
from slipway.plan_types import Plan

NAME = "slipway"
UNITS = "/etc/systemd/system"
CONFIGURATION = "/etc/slipway"
PROXY, COLLECTOR = "slipway-proxy", "slipway-collector"


def service_desired(
    plan: Plan,
    files: Sequence[HostFile],
    extra_files: Sequence[HostFile] = (),
    extra_proxy_files: Iterable[str] = (),
) -> ServiceDesired:
    """The service of one host.

    `files` are the rendered ones, `extra_files` more of them. `extra_proxy_files` are paths of files that the caller
    adds to the service later, because their content (keys, certificates) is not known yet; the proxy is restarted when
    one of them changes. Engines start first, so that the proxy finds them.
    """
    every = (*files, *extra_files)
    paths = {file.path for file in every} | set(extra_proxy_files)
    units = [
        Unit(
            name=replica.unit,
            restart_on=(f"{UNITS}/{replica.unit}",),
            container=replica.container,
            ports=(replica.port,),
        )
        for replica in plan.replicas
    ]
    units.append(_unit(PROXY, paths, (plan.proxy.port, plan.proxy.metrics_port)))
    units.append(_unit(COLLECTOR, paths, (plan.collector.prometheus_port, plan.collector.health_port)))
    images = (plan.engine.image, plan.proxy.image, plan.collector.image)
    return ServiceDesired(
        name=NAME,
        release=plan.release,
        files=every,
        units=tuple(units),
        directories=_directories(plan, paths),
        images=tuple(dict.fromkeys(image.reference for image in images)),
        model=plan.model,
        gate=plan.gate,
        drain=plan.drain,
    )


def _unit(name: str, paths: set[str], ports: tuple[int, ...]) -> Unit:
    """What is under /etc/slipway belongs to the proxy, unless its name says that it is the collector's."""
    own = sorted(path for path in paths if path.startswith(f"{CONFIGURATION}/") and _owner(path) == name)
    return Unit(name=f"{name}.service", restart_on=(f"{UNITS}/{name}.service", *own), container=name, ports=ports)


def _owner(path: str) -> str:
    return COLLECTOR if path.removeprefix(f"{CONFIGURATION}/").startswith("collector") else PROXY


def _directories(plan: Plan, paths: set[str]) -> tuple[str, ...]:
    """Every folder that a file or the model lies in, parents first; systemd's own is always there."""
    folders = {path.rsplit("/", 1)[0] for path in (*paths, plan.model.path)} - {UNITS}
    parents = {"/".join(folder.split("/")[:depth]) for folder in folders for depth in range(2, folder.count("/") + 2)}
    return tuple(sorted(folder for folder in parents if "/slipway" in folder))
