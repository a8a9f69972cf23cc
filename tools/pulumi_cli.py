"""The Pulumi CLI: the user's own when there is one on PATH, else one built from the Go module proxy into the cache.

    python3 -m tools.pulumi_cli build    make sure that there is one; print the folder it is in
    python3 -m tools.pulumi_cli show     the same without building

    <cache>/pulumi/<16 hex>/bin/     pulumi, pulumi-language-python, and the two scripts that it runs

The official Python language host is no Go module that can be fetched, so tools/pulumi has a small one of ours, on the
published SDK. A user's own CLI brings the official one along and is preferred.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bootstrap.paths import cache_dir
from slipway.errors import SlipwayError
from tools import cache, gobuild, progress

SOURCE = cache.ROOT / "tools/pulumi"
SHIM = cache.ROOT / "tools/bin"
SDK = "github.com/pulumi/pulumi/sdk/v3"
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""What the language host runs beside itself, out of the SDK's module."""
WHAT = "Pulumi CLI"


def version(go_mod: str) -> str:
    """The CLI's version: that of the SDK in the lock, which is released together with it."""
    found = re.search(rf"^\s*{re.escape(SDK)} v(\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise SlipwayError(f"{SDK} is not required", where="tools/pulumi/go.mod", fix="Run `go get` on it there")
    return found[1]


def installed(path: str) -> Path | None:
    """The folder of a user's own CLI on this PATH; folders of the checkout or of the cache do not count."""
    ours = (SHIM.resolve(), cache_dir().resolve())
    for entry in path.split(os.pathsep):
        folder = Path(entry or ".").resolve()
        if any(folder.is_relative_to(own) for own in ours):
            continue
        if (found := shutil.which("pulumi", path=str(folder))) is not None:
            return Path(found).parent
    return None


def built() -> Path:
    """The folder of the CLI in the cache, built or not."""
    return cache.folder("pulumi", cache.fingerprint(*gobuild.sources(SOURCE))) / "bin"


def ensure() -> Path:
    """The folder of a CLI that works: the user's own, or ours, built if it is not there yet."""
    own = installed(os.environ.get("PATH", ""))
    if own is not None:
        return own
    cache.ensure(built().parent, _build)
    return built()


def _build(folder: Path) -> None:
    gobuild.check_go(WHAT)
    number = version((SOURCE / "go.mod").read_text())
    progress.say(f"building the Pulumi CLI {number}, 4 to 8 minutes the first time")
    started = time.monotonic()
    output = folder / "bin"
    output.mkdir()
    flags = [f"-X {SDK}/go/common/version.Version={number}"]
    for package in ("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "./cmd/pulumi-language-python"):
        gobuild.build(SOURCE, package, output / Path(package).name, WHAT, ldflags=flags)
    module = gobuild.module_dir(SOURCE, SDK)
    for script in SCRIPTS:
        target = output / Path(script).name
        shutil.copyfile(module / script, target)
        target.chmod(0o755)
    progress.say(f"built the Pulumi CLI {number} in {time.monotonic() - started:.0f} s")


def main(argv: Sequence[str]) -> int:
    if list(argv) not in (["build"], ["show"]):
        progress.say("usage: python3 -m tools.pulumi_cli build|show")
        return 2
    try:
        folder = ensure() if argv[0] == "build" else installed(os.environ.get("PATH", "")) or built()
    except SlipwayError as error:
        progress.say(str(error))
        return error.exit_code
    print(folder)
    return 0 if (folder / "pulumi").exists() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
