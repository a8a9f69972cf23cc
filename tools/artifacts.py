"""Everything that the local stack is made from: the Pulumi CLI, the container images, the base of its machines.

python3 -m tools.artifacts check    is what building needs here? Says what is missing, builds nothing
python3 -m tools.artifacts build [BASE…]    build what is missing, and write down where everything is; `trixie` is
                                            the base for releases on Debian 13, and stays listed once it was built

.slipway/artifacts.json    {"pulumi": folder, "bases": {name: {…}}, "images": {name: {…}}}
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bootstrap.paths import state_dir
from slipway.errors import SlipwayError
from tools import bases, cache, gobuild, images, pulumi_cli
from tools.progress import say

BASES = ("bookworm",)
MORE_BASES = ("trixie",)
"""built when they are asked for"""
GO_IMAGES = tuple(name for name in images.NAMES if "go" in images.recipe(name))
PACKAGE_IMAGES = tuple(name for name in images.NAMES if name not in GO_IMAGES)


def check() -> None:
    """Raise SlipwayError when something must be built that this machine cannot build."""
    needs_go = [f"image {name}" for name in GO_IMAGES if images.describe(name) is None]
    if pulumi_cli.installed(os.environ.get("PATH", "")) is None and not pulumi_cli.built().exists():
        needs_go.insert(0, pulumi_cli.WHAT)
    if needs_go:
        gobuild.check_go(", ".join(needs_go))
    if any(bases.describe(name) is None for name in BASES):
        bases.path(BASES[0])  # names the archive it would be built from, or says that there is none


def build(more: Sequence[str] = ()) -> dict[str, Any]:
    """Build what is missing and say where everything is. Raises the first SlipwayError, after what runs has ended.

    Two builds go on side by side: compilers keep all cores busy one after the other, while packages are fetched.
    """
    compiled: list[Callable[[], Any]] = [pulumi_cli.ensure, *(partial(images.ensure, name) for name in GO_IMAGES)]
    wanted = (*BASES, *(name for name in MORE_BASES if name in more or bases.describe(name)))
    packaged: list[Callable[[], Any]] = [
        *(partial(bases.ensure, name) for name in wanted),
        *(partial(images.ensure, name) for name in PACKAGE_IMAGES),
    ]
    with ThreadPoolExecutor(2) as pool:
        lines: list[Future[list[Any]]] = [pool.submit(_in_turn, line) for line in (compiled, packaged)]
        (pulumi, *go_images), made = (line.result() for line in lines)
    found = [*go_images, *made[len(wanted) :]]
    return {
        "pulumi": str(pulumi),
        "bases": {base["name"]: base for base in made[: len(wanted)]},
        "images": {image["name"]: image for image in sorted(found, key=lambda image: str(image["name"]))},
    }


def write(found: dict[str, Any], state: Path) -> None:
    """Write `artifacts.json` when it says something else."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps(found, indent=2) + "\n"
    path = state / "artifacts.json"
    if not path.exists() or path.read_text() != text:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)


def _in_turn(steps: Sequence[Callable[[], Any]]) -> list[Any]:
    return [step() for step in steps]


def main(argv: Sequence[str]) -> int:
    if list(argv) != ["check"] and not (argv[:1] == ["build"] and set(argv[1:]) <= set(MORE_BASES)):
        say(f"usage: python3 -m tools.artifacts check|build [{'|'.join(MORE_BASES)}]")
        return 2
    try:
        if argv[0] == "check":
            check()
        else:
            write(build(argv[1:]), state_dir(cache.ROOT))
    except SlipwayError as error:
        say(f"slipway: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
