"""The build cache: complete or absent, made once."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from tools import cache, progress


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_fingerprint_tells_parts_apart() -> None:
    assert cache.fingerprint("ab", "") != cache.fingerprint("a", "b")
    assert cache.fingerprint("a", b"b") == cache.fingerprint("a", "b")
    assert len(cache.fingerprint()) == 16


def test_an_artefact_is_made_once() -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("x")

    target = cache.folder("things", "thing-1")
    assert cache.ensure(target, make) == cache.ensure(target, make) == target
    assert (target / "file").read_text() == "x"
    assert len(made) == 1


def test_a_build_that_fails_leaves_nothing() -> None:
    target = cache.folder("things", "thing-1")

    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise SlipwayError("it broke", where="thing", fix="Try again")

    with pytest.raises(SlipwayError, match="it broke"):
        cache.ensure(target, make)
    assert list(target.parent.iterdir()) == []


def test_what_a_killed_build_left_is_removed_by_the_next() -> None:
    target = cache.folder("things", "thing-1")
    left = target.parent / ".thing-1.999.building"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    cache.ensure(target, lambda folder: (folder / "file").touch())
    assert [path.name for path in target.parent.iterdir()] == ["thing-1"]


def test_two_builders_at_once_make_one_artefact() -> None:
    target = cache.folder("things", "thing-1")
    made: list[str] = []

    def make(_: Path) -> None:
        made.append("x")
        time.sleep(0.1)

    threads = [threading.Thread(target=cache.ensure, args=(target, make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["x"]


def test_a_tree_with_a_mount_below_it_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree/proc").mkdir(parents=True)
    mounts = f"36 35 98:0 / {tmp_path}/tree/proc rw - proc proc rw\n"
    monkeypatch.setattr(cache, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text(mounts)
    with pytest.raises(OSError, match="is mounted"):
        cache.remove_tree(tmp_path / "tree")
    assert (tmp_path / "tree/proc").is_dir()


def test_the_cache_is_not_removed_under_a_machine_that_is_up(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = cache.ensure(cache.folder("bases", "bookworm-1"), lambda folder: (folder / "tree").mkdir())
    monkeypatch.setattr(cache, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text(f"36 35 0:9 / /state/root rw - overlay overlay rw,lowerdir={base}/tree\n")
    assert cache.main(["clean"]) == 1
    assert "make down" in capsys.readouterr().err
    assert base.is_dir()
    (tmp_path / "mountinfo").write_text("")
    assert cache.main(["clean"]) == 0
    assert not own_cache.exists()


def test_a_step_that_fails_shows_its_last_lines() -> None:
    with pytest.raises(SlipwayError) as caught:
        progress.run(["sh", "-c", "echo first; echo the reason >&2; exit 3"], "making it", fix="Do that")
    assert "ended with 3" in str(caught.value)
    assert "the reason" in str(caught.value)
    assert str(caught.value).startswith("making it: ")
    assert str(caught.value).endswith("Do that")


def test_a_step_whose_program_is_missing_says_so() -> None:
    with pytest.raises(SlipwayError, match="no-such-program is not installed"):
        progress.run(["no-such-program"], "making it")


def test_a_long_step_says_that_it_lives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    progress.run(["sleep", "0.3"], "making it")
    assert "  making it: 0 s" in capsys.readouterr().err


def test_an_interrupted_step_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            if self not in started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        progress.run(["sleep", "60"], "making it")
    assert started[0].returncode == -15
