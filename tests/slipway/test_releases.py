from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import releases
from slipway.errors import ReleaseError
from slipway.releases import (
    Lock,
    Release,
    Resolved,
    check_lock,
    check_release,
    compute_lock,
    dump_lock,
    parse_lock,
    store,
)
from slipway.releases.locks import named_packages
from slipway.releases.store import parse_release

DIGEST = "sha256:" + "a" * 64
GPU: dict[str, Any] = {
    "driver": "580.126.20",
    "branch": "580",
    "modules": "open",
    "cuda": "13.0",
    "toolkit": {"version": "1.19.1-1"},
    "fabric_manager": "580.126.20",
    "archive": "ubuntu",
}


def gpu_release(kernel: str | None = "6.8.0-90-generic", **changes: Any) -> Release:
    images: dict[str, dict[str, str]] = {
        name: {"reference": f"registry.example/{name}@{DIGEST}"} for name in ("proxy", "collector", "engine-vllm")
    }
    data = {"name": "gpu-1", "summary": "", "os": ["ubuntu:24.04"], "packages": ["docker.io"], "images": images}
    return Release.model_validate(data | {"kernel": kernel, "gpu": GPU | changes})


def resolved(release: Release, **changes: str) -> Resolved:
    """What apt would answer: NVIDIA's at the driver's version, the rest at any."""
    gpu, names = release.gpu, release.gpu_names
    assert gpu is not None
    assert names is not None
    at_driver = {*names.driver, *names.nvswitch}

    def version(name: str) -> str:
        if name in gpu.toolkit.packages:
            return gpu.toolkit.version
        return f"{gpu.driver}-0ubuntu0.24.04.1" if name in at_driver else "1.0-1"

    groups = {group: {n: changes.get(n, version(n)) for n in found} for group, found in named_packages(release).items()}
    return Resolved(**groups, key="KEY", key_fingerprint="AA")  # type: ignore[arg-type]


def test_every_release_that_ships_is_sound_and_locked_or_says_that_it_is_not() -> None:
    for release in releases.load_releases().values():
        assert check_release(release) == ()
        if not releases.is_locked(release.name):
            assert release.gpu is not None, "what needs no archive of NVIDIA's can be locked anywhere"
            continue
        lock = releases.load_lock(release.name)
        assert check_lock(release, lock) == ()
        assert releases.lock_path(release.name).read_text(encoding="utf-8") == dump_lock(lock)


def test_a_release_on_debian_13_has_the_docker_command() -> None:
    """From Debian 13 on docker.io is the daemon alone, and only recommends its client."""
    for release in releases.load_releases().values():
        assert ("docker-cli" in release.packages) == ("debian:13" in release.os), release.name


@pytest.mark.parametrize("name", [n for n, found in releases.load_releases().items() if found.gpu is not None])
def test_a_lock_of_every_gpu_release_that_ships(name: str) -> None:
    release = releases.load_release(name)
    lock = compute_lock(release, resolved(release), {"engine-vllm": DIGEST})
    assert check_lock(release, lock) == ()
    assert parse_lock(dump_lock(lock), "x") == lock


def test_an_unknown_release_is_told_the_nearest() -> None:
    with pytest.raises(ReleaseError, match=r"Did you mean local-2026\.11") as caught:
        releases.load_release("local-2026.12")
    assert caught.value.exit_code == 2


def test_a_release_without_lock() -> None:
    with pytest.raises(ReleaseError, match="slipway lock --release nothing"):
        releases.load_lock("nothing")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for releases of one's own, which only this test's process looks into."""
    monkeypatch.setattr(store, "_folders", list(store._folders))
    yield tmp_path
    store._found.cache_clear()


def own_release(name: str) -> str:
    shipped = releases.lock_path("local-2026.11").parent / "local-2026.11.toml"  # type: ignore[attr-defined]
    return str(shipped.read_text().replace("local-2026.11", name))


def test_releases_of_ones_own_stand_beside_those_that_ship(own: Path) -> None:
    (own / "mine-1.toml").write_text(own_release("mine-1"))
    releases.add_releases(own / "not-there")
    assert "mine-1" not in releases.load_releases()
    releases.add_releases(own)
    assert {"mine-1", "local-2026.11"} <= set(releases.load_releases())
    assert not releases.is_locked("mine-1")
    assert releases.lock_path("mine-1") == own / "mine-1.lock.toml", "where `slipway lock` writes"
    lock = compute_lock(
        releases.load_release("mine-1"),
        Resolved(dict.fromkeys(("ca-certificates", "curl", "docker.io", "iptables", "socat"), "1")),
    )
    (own / "mine-1.lock.toml").write_text(dump_lock(lock))
    assert releases.load_lock("mine-1") == lock


def test_a_release_of_ones_own_has_a_name_of_its_own(own: Path) -> None:
    (own / "local-2026.11.toml").write_text(own_release("local-2026.11"))
    releases.add_releases(own)
    with pytest.raises(
        ReleaseError, match=r"there is a release local-2026\.11 already.*Give this one a name of its own"
    ):
        releases.load_releases()


def test_a_sound_gpu_release() -> None:
    assert check_release(gpu_release()) == ()


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"archive": "debian"}, "gpu.archive", "no packages of the archive debian are known for ubuntu:24.04"),
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


def test_a_gpu_release_pulls_its_engines_and_is_for_one_system() -> None:
    release = gpu_release(kernel=None)
    pins = {name: releases.ImagePin(build=name) for name in ("proxy", "engine-vllm")}
    built = release.model_copy(update={"images": release.images | pins, "os": ("ubuntu:24.04", "ubuntu:22.04")})
    assert [problem.key for problem in check_release(built)] == ["os", "images.engine-vllm"]


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
    for pin in (releases.ImagePin(), releases.ImagePin(repository="a/b"), releases.ImagePin(build="x", version="1")):
        images = release.images | {"proxy": pin}
        assert [problem.key for problem in check_release(release.model_copy(update={"images": images}))] == [
            "images.proxy"
        ]


def test_an_image_needs_a_driver_for_its_cuda() -> None:
    release = gpu_release()
    pin = releases.ImagePin(repository="a/b", version="1", cuda="14.0")
    wrong = release.model_copy(update={"images": release.images | {"engine-vllm": pin}})
    assert [problem.key for problem in check_release(wrong)] == ["images.engine-vllm.cuda"]


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


def test_a_lock_holds_what_was_resolved_by_group() -> None:
    release = gpu_release()
    answer = resolved(release)
    lock = compute_lock(release, answer)
    assert check_lock(release, lock) == ()
    assert (lock.packages, lock.gpu, lock.nvswitch) == (answer.packages, answer.gpu, answer.nvswitch)
    assert lock.nvlink5 == {}, "Ubuntu's own archive has nothing for it"
    assert (lock.key, lock.key_fingerprint) == ("KEY", "AA")


def test_a_lock_needs_every_package() -> None:
    release = releases.load_release("local-2026.11").model_copy(update={"packages": ("curl", "docker.io", "socat")})
    with pytest.raises(ReleaseError, match=r"apt has no curl and no socat for debian:12"):
        compute_lock(release, Resolved({"docker.io": "1"}))


@pytest.mark.parametrize(
    ("name", "version", "pinned"),
    [
        ("nvidia-container-toolkit-base", "1.20.0-1", "1.19.1-1"),
        ("libnvidia-compute-580-server", "580.159.03-0ubuntu0.24.04.1", "580.126.20"),
        ("nvidia-fabricmanager-580", "580.126.21-0ubuntu0.24.04.1", "580.126.20"),
    ],
)
def test_a_set_is_not_mixed(name: str, version: str, pinned: str) -> None:
    release = gpu_release()
    with pytest.raises(ReleaseError, match=f"{name} resolved to {version}, and the release pins {pinned}"):
        compute_lock(release, resolved(release, **{name: version}))


def test_a_gpu_release_needs_every_package_of_its_set() -> None:
    release = gpu_release()
    lock = compute_lock(release, resolved(release))
    less = lock.model_copy(update={"gpu": {k: v for k, v in lock.gpu.items() if k != "nvidia-utils-580-server"}})
    assert [problem.key for problem in check_lock(release, less)] == ["packages.nvidia-utils-580-server"]


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
