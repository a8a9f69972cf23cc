"""The GPUs that come with Slipway: complete, plausible, sourced, and found however they are spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import SizingError
from slipway.gpus import Gpu, find_gpu, gpus

FIGURES = {"memory_mib", "usable_mib", "bandwidth", "flops", "compute_capability", "link_bandwidth"}
GENERATIONS = {"7.0": "volta", "7.5": "turing", "8.0": "ampere", "8.6": "ampere", "8.9": "ada", "9.0": "hopper"}


@pytest.mark.parametrize("gpu", gpus().values(), ids=gpus())
def test_every_figure_is_plausible_and_has_a_source(gpu: Gpu) -> None:
    said = {name for name in ("power", "mig") if getattr(gpu, name)}
    assert set(gpu.sources) == FIGURES | said
    assert all(len(source) > 5 for source in gpu.sources.values())
    assert 0.93 < gpu.usable_mib / gpu.memory_mib < 1
    assert 200e9 < gpu.bandwidth < 10e12
    assert 10e9 < gpu.link_bandwidth < 1e12
    assert gpu.generation == GENERATIONS.get(gpu.compute_capability, "blackwell")
    assert ("bf16" in gpu.flops) == (float(gpu.compute_capability) >= 8)
    assert ("fp8" in gpu.flops) == (float(gpu.compute_capability) >= 8.9)
    assert ("fp4" in gpu.flops) == (float(gpu.compute_capability) >= 10)
    assert 50e12 < gpu.flops["fp16"] < 2.6e15
    for narrow, wide in (("fp8", "fp16"), ("int8", "fp16"), ("fp4", "fp8")):
        if narrow in gpu.flops:
            assert gpu.flops[narrow] >= 1.9 * gpu.flops[wide]


@pytest.mark.parametrize("gpu", [gpu for gpu in gpus().values() if gpu.mig], ids=lambda gpu: gpu.name)
def test_slices_are_no_more_than_their_gpu(gpu: Gpu) -> None:
    assert float(gpu.compute_capability) >= 8, "the guide: MIG starts with Ampere's 8.0"
    for profile, slices in gpu.mig.items():
        units, gigabytes = profile.removesuffix("gb").split("g.")
        assert int(units) * slices.count <= 7
        assert int(gigabytes) * slices.count <= 1.05 * gpu.memory_mib / 1000
        if slices.memory_mib is not None:
            assert 0.85 < slices.memory_mib / 1024 / int(gigabytes) <= 1.0
            assert slices.memory_mib * slices.count <= gpu.memory_mib


def test_a_slice_is_a_smaller_gpu() -> None:
    whole = find_gpu("H100-SXM")
    cut = whole.cut("1g.10gb")
    assert (cut.name, cut.memory_mib, cut.mig) == ("H100-SXM 1g.10gb", 9984, {})
    assert cut.bandwidth == pytest.approx(whole.bandwidth / 8, rel=0.03)
    assert cut.flops["fp16"] == pytest.approx(whole.flops["fp16"] / 7)
    assert whole.cut("7g.80gb").usable_mib == whole.usable_mib


@pytest.mark.parametrize(
    ("name", "profile", "said"),
    [
        ("L40S", "1g.10gb", "L40S cannot be cut into '1g.10gb'"),
        ("H100-SXM", "1g.18gb", "Write one of 1g.10gb"),
        ("A100-40", "1g.5gb", r"the memory of 1g\.5gb of A100-40 is not known"),
    ],
)
def test_slices_that_are_not_known(name: str, profile: str, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        find_gpu(name).cut(profile)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("RTX3090", "RTX3090"),
        ("rtx 3090", "RTX3090"),
        ("NVIDIA GeForce RTX 3090", "RTX3090"),
        ("RTX5090", "RTX5090"),
        ("RTXPRO6000", "RTXPRO6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTXPRO6000"),
        ("RTX PRO 6000 Blackwell Workstation Edition", "RTXPRO6000-WS"),
        ("A100-40", "A100-40"),
        ("a100_80", "A100-80"),
        ("NVIDIA A100-SXM4-80GB", "A100-80"),
        ("NVIDIA A100 80GB PCIe", "A100-80-PCIe"),
        ("A800", "A800-80"),
        ("NVIDIA A800-SXM4-80GB", "A800-80"),
        ("L4", "L4"),
        ("l40s", "L40S"),
        ("H100-SXM", "H100-SXM"),
        ("h100sxm", "H100-SXM"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("H100 NVL", "H100-NVL"),
        ("H200", "H200"),
        ("B200", "B200"),
        ("Tesla T4", "T4"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("RTX 6000 Ada Generation", "RTX6000-Ada"),
    ],
)
def test_spelling_does_not_matter(spelling: str, name: str) -> None:
    assert find_gpu(spelling).name == name


def test_no_two_gpus_share_a_spelling() -> None:
    for gpu in gpus().values():
        for spelling in (gpu.name, *gpu.aliases):
            assert find_gpu(spelling) is gpu


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("A100", "Write A100-40 or "),
        ("H10", "Write H100-SXM or "),
        ("", "Write one of V100-16, "),
        ("x" * 10_000, "Write one of V100-16, "),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(SizingError) as caught:
        find_gpu(name)
    assert "is no GPU that Slipway knows" in str(caught.value)
    assert caught.value.fix.startswith(fix)
    assert len(str(caught.value)) < 600


@given(st.text(max_size=50))
def test_any_text_is_a_gpu_or_a_sentence(name: str) -> None:
    try:
        found = find_gpu(name).name
    except SizingError as error:
        found = str(error)
    assert found in gpus() or found.startswith("gpu: ")
