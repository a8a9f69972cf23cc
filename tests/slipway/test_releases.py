from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import releases
from slipway.errors import ReleaseError
from slipway.releases import Lock, Release, check_lock, check_release, compute_lock, dump_lock, parse_lock
from slipway.releases.records import TOOLKIT_PACKAGES
from slipway.releases.store import parse_release

DIGEST = "sha256:" + "a" * 64
GPU: dict[str, Any] = {
    "driver": "580.126.20",
    "branch": "580",
    "modules": "open",
    "cuda": "13.0",
    "toolkit": {"version": "1.19.1-1"},
    "fabric_manager": "580.126.20",
    "packages": ["nvidia-driver-580-server-open"],
    "archive": "ubuntu",
}


def gpu_release(kernel: str | None = "6.8.0-90-generic", **changes: Any) -> Release:
    images = {
        name: {"reference": f"registry.example/{name}@{DIGEST}"} for name in ("proxy", "collector", "engine-vllm")
    }
    data = {"name": "gpu-1", "summary": "", "os": ["ubuntu:24.04"], "packages": ["docker.io"], "images": images}
    return Release.model_validate(data | {"kernel": kernel, "gpu": GPU | changes})


def test_every_release_that_ships_is_sound_and_locked() -> None:
    for release in releases.load_releases().values():
        assert check_release(release) == ()
        lock = releases.load_lock(release.name)
        assert check_lock(release, lock) == ()
        assert releases.lock_path(release.name).read_text(encoding="utf-8") == dump_lock(lock)


def test_an_unknown_release_is_told_the_nearest() -> None:
    with pytest.raises(ReleaseError, match=r"Did you mean local-2026\.11") as caught:
        releases.load_release("local-2026.12")
    assert caught.value.exit_code == 2


def test_a_release_without_lock() -> None:
    with pytest.raises(ReleaseError, match="slipway lock --release nothing"):
        releases.load_lock("nothing")


def test_a_sound_gpu_release() -> None:
    assert check_release(gpu_release()) == ()


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"branch": "595"}, "gpu.branch", "driver 580.126.20 is not of branch 595"),
        ({"driver": "570.86.15", "branch": "570", "fabric_manager": None}, "gpu.cuda", "needs driver branch 580"),
        ({"cuda": "14.0"}, "gpu.cuda", "none of the known majors"),
        ({"fabric_manager": "580.105.08"}, "gpu.fabric_manager", "not the driver's exact version 580.126.20"),
        (
            {"toolkit": {"version": "1.19.1-1", "packages": ["nvidia-container-toolkit"]}},
            "gpu.toolkit.packages",
            "four",
        ),
        (
            {"driver": "470.256.02", "branch": "470", "cuda": "11.8", "fabric_manager": None},
            "gpu.modules",
            "open modules come with branch 515",
        ),
    ],
)
def test_what_does_not_go_together(changes: dict[str, Any], key: str, said: str) -> None:
    problems = check_release(gpu_release(**changes))
    assert [problem.key for problem in problems] == [key]
    assert said in str(problems[0])


def test_a_gpu_release_needs_kernel_and_digests() -> None:
    release = gpu_release(kernel=None)
    built = release.model_copy(update={"images": release.images | {"proxy": releases.ImagePin(build="proxy")}})
    assert [problem.key for problem in check_release(built)] == ["kernel", "images.proxy"]


def test_images_are_needed_and_pinned_one_way() -> None:
    release = gpu_release()
    both = releases.ImagePin(reference=f"a/b@{DIGEST}", build="x")
    broken = release.model_copy(update={"images": {"proxy": both}, "packages": ("curl", "curl")})
    assert [problem.key for problem in check_release(broken)] == [
        "images.collector",
        "images",
        "images.proxy",
        "packages",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "no TOML"),
        ('name = "x"\nsummary = ""\nos = ["debian"]\npackages = ["curl"]\nimages = {}\n', "os.0"),
        ('name = "x"\nsummary = ""\nos = ["debian:12"]\npackages = ["curl"]\nimages = {}\n', "images.proxy"),
        ('name = "x"\nsurprise = 1\n', "surprise"),
    ],
)
def test_a_release_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        parse_release(text, "x.toml")


def test_a_lock_holds_what_was_resolved() -> None:
    release = gpu_release()
    resolved = dict.fromkeys(TOOLKIT_PACKAGES, "1.19.1-1") | {
        "docker.io": "27.5.1", "nvidia-driver-580-server-open": "580.126.20-1", "runc": "1.2.3",
    }  # fmt: skip
    lock = compute_lock(release, resolved)
    assert check_lock(release, lock) == ()
    assert lock.packages == resolved


def test_a_lock_needs_every_package() -> None:
    release = releases.load_release("local-2026.11").model_copy(update={"packages": ("curl", "docker.io", "socat")})
    with pytest.raises(ReleaseError, match=r"apt has no curl and no socat for debian:12"):
        compute_lock(release, {"docker.io": "1"})


def test_a_toolkit_is_not_mixed() -> None:
    release = gpu_release()
    resolved = dict.fromkeys(TOOLKIT_PACKAGES, "1.20.0-1") | {"docker.io": "1", "nvidia-driver-580-server-open": "1"}
    with pytest.raises(ReleaseError, match=r"resolved to 1\.20\.0-1, and the release pins 1\.19\.1-1"):
        compute_lock(release, resolved)


def test_a_lock_goes_stale_with_any_pin() -> None:
    release = releases.load_release("local-2026.11")
    lock = releases.load_lock(release.name)
    more = release.model_copy(update={"packages": (*release.packages, "jq")})
    other = release.model_copy(update={"os": ("debian:13",)})
    renamed = lock.model_copy(update={"release": "other", "images": {"nginx": DIGEST}})
    assert [problem.key for problem in check_lock(more, lock)] == ["packages.jq"]
    assert [problem.key for problem in check_lock(other, lock)] == ["fingerprint"]
    assert [problem.key for problem in check_lock(release, renamed)] == ["release", "images.nginx"]
    assert check_lock(release.model_copy(update={"summary": "reworded"}), lock) == ()


NAMES = st.text("abz09+.-", min_size=1, max_size=8).map("lib{}".format)
VERSIONS = st.text("aZ09.+~-", max_size=8).map("1:2{}".format)


@given(
    st.dictionaries(NAMES, VERSIONS, max_size=6),
    st.dictionaries(st.sampled_from(["proxy", "engine-vllm"]), st.just(DIGEST)),
)
def test_a_lock_is_read_back_as_written(packages: dict[str, str], images: dict[str, str]) -> None:
    lock = Lock(release="x", fingerprint=DIGEST, packages=packages, images=images)
    assert parse_lock(dump_lock(lock), "x.lock.toml") == lock
    assert dump_lock(lock) == dump_lock(Lock.model_validate(dict(reversed(lock.model_dump().items()))))


@pytest.mark.parametrize("text", ["= 1", 'release = "x"\n', 'release = "x"\nfingerprint = "x"\n[packages]\n'])
def test_a_lock_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ReleaseError, match="slipway lock"):
        parse_lock(text, "x.lock.toml")
