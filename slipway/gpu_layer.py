"""What makes GPUs of nodes something that pods can ask for: NVIDIA's device plugin, or its operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slipway.cluster_types import GpuLayerPlan, OperatorPlan
from slipway.desired import Image
from slipway.releases import Release
from slipway.settings import Settings
from slipway.settings.resolving import driver_from, gpu_layer_of

CONFIG = "slipway"
"""name of the device plugin's configuration among those that the operator could choose from"""


def gpu_layer_plan(
    settings: Settings, release: Release, namespace: str, image: Callable[[str], Image]
) -> GpuLayerPlan | None:
    """`namespace`: that of the pods which serve; `image` finds one by its name in the release. None where the stack
    installs nothing. Raises what `image` raises."""
    layer, sharing = gpu_layer_of(settings), settings.cluster.gpu_sharing
    own = f"{namespace[:59]}-gpu"
    if layer == "plugin":
        plugin, exporter = image("device-plugin"), image("dcgm-exporter")
        return GpuLayerPlan(own, plugin, exporter, mig=sharing.mig, time_slices=sharing.time_slices)
    if layer == "operator" and release.gpu is not None:
        wanted = settings.cluster.operator
        operator = OperatorPlan(
            driver=release.gpu.driver if driver_from(settings) == "operator" else None,
            modules=release.gpu.modules,
            chart=wanted.chart,
            sha256=wanted.sha256,
            values=wanted.values,
        )
        return GpuLayerPlan(own, operator=operator, mig=sharing.mig, time_slices=sharing.time_slices)
    return None


def operator_values(layer: GpuLayerPlan, operator: OperatorPlan, monitoring: str | None) -> dict[str, Any]:
    """Values of the chart gpu-operator: https://github.com/NVIDIA/gpu-operator/blob/main/deployments/gpu-operator

    Where the node image brings the driver it brings the container toolkit as well, and a second one would configure the
    same runtime: https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/getting-started.html
    """
    driver: dict[str, Any] = {"enabled": False}
    if operator.driver is not None:
        driver = {"enabled": True, "version": operator.driver, "kernelModuleType": operator.modules}
    plugin = {"config": {"name": f"{layer.namespace}-sharing", "default": CONFIG}} if layer.config else {}
    values = {
        "driver": driver,
        "toolkit": {"enabled": operator.driver is not None},
        "devicePlugin": {"enabled": True, **plugin},
        "dcgmExporter": {"enabled": True, "serviceMonitor": {"enabled": monitoring is not None}},
        "mig": {"strategy": layer.mig_strategy},
        "migManager": {"enabled": layer.mig is not None},
    }
    return _laid_over(values, operator.values)


def _laid_over(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(values)
    for key, value in more.items():
        before = found.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = _laid_over(before, value) if both else value  # type: ignore[arg-type]
    return found
