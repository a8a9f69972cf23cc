"""From a GPU release and its lock to what a host is told."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.desired import ExpectedGpus, GpuDesired
from slipway.errors import PlanError
from slipway.gpus import find_gpu
from slipway.plan import make_plan
from slipway.releases import compute_lock, gpu_desired, load_lock, load_release
from slipway.releases.names import CUDA_KEY
from tests.slipway.stack_files import BUILT, settings
from tests.slipway.test_releases import DIGEST, gpu_release, resolved

RELEASE = load_release("r580-2026.11-ubuntu-24.04")
LOCK = compute_lock(RELEASE, resolved(RELEASE), {"engine-vllm": DIGEST})
STACK = """\
config:
  slipway:provider: ssh
  slipway:release: r580-2026.11-ubuntu-24.04
  slipway:ssh: {host_key_policy: accept-new, inventory: [{name: gpu-1, address: 192.0.2.11}]}
  slipway:model:
    {name: some/model, source: "hf://some/model@0123456789012345678901234567890123456789/model.gguf",
     sha256: "%s", size: 1GB, context: 8192}
  slipway:engine: {name: vllm, gpus: 2, tensor_parallel: 2}
""" % ("a" * 64)  # fmt: skip


def test_a_set_reaches_the_host_whole() -> None:
    wanted = gpu_desired(RELEASE, LOCK, count=8, gpu=find_gpu("H100-SXM"))
    assert wanted is not None
    assert (wanted.archive, wanted.driver, wanted.branch, wanted.modules) == ("nvidia", "580.159.03", "580", "open")
    assert {package.name: package.version for package in wanted.packages} == LOCK.gpu
    assert [package.name for package in wanted.nvswitch_packages] == ["libnvidia-nscq", "nvidia-fabricmanager"]
    assert [package.name for package in wanted.nvlink5_packages] == ["infiniband-diags", "nvlsm"]
    assert (wanted.key, wanted.key_fingerprint) == ("KEY", CUDA_KEY)
    assert "ubuntu2404" in wanted.sources[0]
    assert wanted.expected == ExpectedGpus(count=8, compute_capability="9.0", memory_mib=81559)
    assert GpuDesired.model_validate_json(wanted.model_dump_json()) == wanted


def test_archives_of_ones_own_bring_their_key() -> None:
    lock = LOCK.model_copy(update={"sources": ("Types: deb\n",), "key_fingerprint": "BB"})
    wanted = gpu_desired(RELEASE, lock, count=None, gpu=None)
    assert wanted is not None
    assert (wanted.sources, wanted.key_fingerprint) == (("Types: deb\n",), "BB")
    assert wanted.expected == ExpectedGpus()


def test_a_pinned_kernel_names_its_headers() -> None:
    release = gpu_release(kernel="6.8.0-90-generic")
    wanted = gpu_desired(release, compute_lock(release, resolved(release)), count=1, gpu=None)
    assert wanted is not None
    assert wanted.headers == "linux-headers-6.8.0-90-generic"


def test_hosts_without_gpus_are_told_nothing() -> None:
    assert gpu_desired(RELEASE, LOCK, count=0, gpu=None) is None
    local = load_release("local-2026.11")
    assert gpu_desired(local, load_lock(local.name), count=1, gpu=None) is None


@pytest.mark.parametrize(
    ("changes", "gpu", "said"),
    [
        ({}, "V100-16", "V100-16 .volta. has proprietary kernel modules only"),
        ({"modules": "proprietary"}, "B200", "B200 .blackwell. has open kernel modules only"),
        (
            {"driver": "535.309.01", "branch": "535", "cuda": "12.9", "fabric_manager": None},
            "B200",
            "needs driver branch 570",
        ),
    ],
)
def test_a_gpu_that_the_set_is_not_for(changes: dict[str, Any], gpu: str, said: str) -> None:
    release = gpu_release(**changes)
    lock = compute_lock(release, resolved(release))
    with pytest.raises(PlanError, match=said):
        gpu_desired(release, lock, count=1, gpu=find_gpu(gpu))


def test_a_plan_carries_the_stack_and_pulls_the_engine_by_digest() -> None:
    made = make_plan(settings(base=STACK), RELEASE, LOCK, BUILT)
    assert made.engine.image.reference == f"docker.io/vllm/vllm-openai@{DIGEST}"
    assert made.host.gpu == gpu_desired(RELEASE, LOCK, count=2, gpu=None)
    assert {package.name for package in made.host.packages} == set(LOCK.packages)


def test_a_plan_needs_the_engines_digest() -> None:
    lock = LOCK.model_copy(update={"images": {}})
    with pytest.raises(PlanError, match="no digest of the image engine-vllm") as caught:
        make_plan(settings(base=STACK), RELEASE, lock, BUILT)
    assert "--image engine-vllm=sha256:" in caught.value.fix
