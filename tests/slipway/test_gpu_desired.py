"""From a GPU release and its lock to what a host is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml as yaml_text

from slipway.cli.show import rows
from slipway.desired import ExpectedGpus, GpuDesired
from slipway.errors import PlanError
from slipway.gpus import find_gpu
from slipway.plan import make_plan
from slipway.releases import GpuWish, compute_lock, gpu_desired, load_lock, load_release
from slipway.releases.names import CUDA_KEY
from tests.slipway.stack_files import BUILT, settings
from tests.slipway.test_releases import DIGEST, gpu_release, resolved

RELEASE = load_release("r580-2026.11-ubuntu-24.04")
LOCK = compute_lock(RELEASE, resolved(RELEASE), {"engine-vllm": DIGEST})
DOCS = Path(__file__).parents[2] / "docs"
SHOWN = ("engine", "offers", "driver")
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
    assert wanted.expected == ExpectedGpus(count=8, name="H100-SXM", compute_capability="9.0", memory_mib=81559)
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


def test_what_the_stack_wishes_reaches_the_host() -> None:
    wish = GpuWish(
        mode="pin", mig="3g.40gb", ecc=True, power_limit=500, sources=("deb https://mirror.example/cuda /",),
        key="OWN", key_fingerprint="CC",
    )  # fmt: skip
    wanted = gpu_desired(RELEASE, LOCK, wish, count=2, gpu=find_gpu("H100-SXM"))
    assert wanted is not None
    assert (wanted.mig, wanted.mig_slices, wanted.ecc, wanted.power_limit) == ("3g.40gb", 2, True, 500)
    assert wanted.sources == ("Types: deb\nURIs: https://mirror.example/cuda\nSuites: /\n",)
    assert (wanted.key, wanted.key_fingerprint) == ("OWN", "CC")


def test_a_stack_that_has_no_gpus_is_told_nothing() -> None:
    assert gpu_desired(RELEASE, LOCK, GpuWish(mode="none"), count=None, gpu=None) is None


def test_slices_of_a_gpu_that_nobody_named_are_refused() -> None:
    with pytest.raises(PlanError, match=r"how many slices of 1g\.10gb a GPU of these hosts gives is not known"):
        gpu_desired(RELEASE, LOCK, GpuWish(mig="1g.10gb"), count=2, gpu=None)


@pytest.mark.parametrize(
    ("docker", "devices"),
    [({"docker.io": "20.10.24+dfsg1-1"}, "runtime"), ({"docker-ce": "5:28.1.1-1~debian.12"}, "cdi"), ({}, "cdi")],
)
def test_containers_get_gpus_as_their_docker_can(docker: dict[str, str], devices: str) -> None:
    lock = LOCK.model_copy(update={"packages": docker})
    wanted = gpu_desired(RELEASE, lock, count=1, gpu=None)
    assert wanted is not None
    assert wanted.devices == devices


def test_a_docker_without_cdi_needs_a_toolkit_that_does_as_cdi_does() -> None:
    release = gpu_release(toolkit={"version": "1.17.8-1"})
    lock = compute_lock(release, resolved(release)).model_copy(update={"packages": {"docker.io": "20.10.24+dfsg1-1"}})
    with pytest.raises(PlanError, match=r"Docker 20\.10\.24\+dfsg1-1 knows no CDI, and containers lose GPUs") as caught:
        gpu_desired(release, lock, count=1, gpu=None)
    assert caught.value.fix == "Pin toolkit 1.18 or newer, or a Docker of 25 or newer"


def test_the_plan_takes_the_section_and_the_gpu_of_the_offer() -> None:
    offer = "{provider: ssh, instance: ours, vcpus: 32, memory: 256GiB, price: 0, gpu: H100-SXM, gpus: 2}"
    text = STACK.replace("tensor_parallel: 2", "replicas: 3") + f"  slipway:offers: [{offer}]\n"
    chosen = settings("  slipway:driver: {mode: adopt, mig: 3g.40gb, power_limit: 400}\n", base=text)
    made = make_plan(chosen, RELEASE, LOCK, BUILT)
    gpu = made.host.gpu
    assert gpu is not None
    assert (gpu.mode, gpu.mig, gpu.mig_slices, gpu.power_limit) == ("adopt", "3g.40gb", 2, 400)
    assert (gpu.expected.count, gpu.expected.name) == (2, "H100-SXM")
    assert [replica.devices for replica in made.replicas] == [("0:0",), ("1:0",), ("0:1",)]
    said = [text for name, text in rows(made, chosen) if "H100-SXM" in text or "3g.40gb" in text]
    assert said == [
        "2 × H100-SXM, driver 580.159.03 (open modules), of the image, verified and held; containers get them by "
        "NVIDIA's runtime, as this Docker knows no CDI",
        "each cut into 2 × 3g.40gb, 39.50 GiB each; `slipway fit --mig 3g.40gb` says what fits",
    ]


def test_the_docs_show_what_a_plan_says() -> None:
    """The example of docs/gpu-hosts.md, on the stack of these tests and a lock whose Docker knows CDI."""
    yaml, block = re.findall(r"```(?:yaml)?\n(.*?)```", (DOCS / "gpu-hosts.md").read_text(), re.DOTALL)[:2]
    example = yaml_text.safe_load(yaml)["config"]
    text = STACK.replace("  slipway:engine: {name: vllm, gpus: 2, tensor_parallel: 2}\n", "")
    text += "".join(f"  {key}: {json.dumps(example[key])}\n" for key in example if key.split(":")[1] in SHOWN)
    chosen = settings(base=text)
    lock = LOCK.model_copy(update={"packages": LOCK.packages | {"docker.io": "28.2.2-0ubuntu1"}})
    found = list(rows(make_plan(chosen, RELEASE, lock, BUILT), chosen))
    start = [name for name, _ in found].index("gpus")
    said = [text for _, text in found[start : start + 3]]
    assert [line[11:] for line in block.splitlines()] == said
