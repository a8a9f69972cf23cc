"""What a real Kubernetes takes, built once from the Go module proxy, for the tests: no cluster of anybody's is needed.

python3 -m tools.kubernetes build [PART…]    make sure that all of it, or these parts, are there; print where each is

kubebox          etcd, API server, controller manager, scheduler, kubelet and kubectl in one program
kwok             nodes and pods that exist in the API only, by the hundred
device-plugin    STUB of NVIDIA's device plugin: tells the kubelet of GPUs that are not there
pause            the container that holds a pod's network
provider         Pulumi's Kubernetes plugin
crds             definitions of Gateway API, KEDA, Kueue and the Prometheus operator, out of their own modules
stages           what KWOK does with nodes and pods, out of its own module

<cache>/kubernetes/<part>-<16 hex>/
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slipway.errors import SlipwayError
from tools import cache, gobuild, progress

SOURCES = cache.ROOT / "tools/kubernetes"
PROVIDER_SOURCE = cache.ROOT / "tools/pulumi-kubernetes"
PROVIDER_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
PROVIDER = "pulumi-resource-kubernetes"
SDK_MODULE = "github.com/pulumi/pulumi-kubernetes/sdk/v4"
SDK_PARTS = ("", "helm/v4", "utilities", "yaml/v2")
"""packages of the SDK that the plugin uses; `yaml/v2` would pull in the rest of it (tools/pulumi-kubernetes/kinds)"""
PROJECT = cache.ROOT / "pyproject.toml"

PACKAGES = {
    "kubebox": ".",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "device-plugin": ".",
    "pause": ".",
}
"""programs, and the package that each is"""
STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
"""of KWOK: a node and a pod are Ready at once"""


@dataclass(frozen=True)
class Copied:
    """Files that are taken out of modules as they are."""

    source: str
    """folder whose go.mod pins the modules"""
    kind: str
    """of the objects in the files; others are left"""
    files: Mapping[str, Sequence[str]]
    """module → globs in it"""


COPIED = {
    "crds": Copied(
        "crds",
        "CustomResourceDefinition",
        {
            "github.com/kedacore/keda/v2": ("config/crd/bases/*.yaml",),
            "github.com/prometheus-operator/prometheus-operator": ("example/prometheus-operator-crd/*.yaml",),
            "sigs.k8s.io/gateway-api": ("config/crd/standard/*.yaml",),
            "sigs.k8s.io/kueue": ("config/components/crd/bases/*.yaml",),
        },
    ),
    "stages": Copied(
        "kwok",
        "Stage",
        {"sigs.k8s.io/kwok": tuple(f"kustomize/stage/{name}/*.yaml" for name in STAGES)},
    ),
}

PARTS = (*PACKAGES, *COPIED, "provider")


def path(part: str) -> Path:
    """The part in the cache, built or not: a program, or the folder of what was copied."""
    if part == "provider":
        source, version = PROVIDER_SOURCE, provider_version(PROJECT.read_text())
        return _folder(part, *gobuild.sources(source), version) / PROVIDER
    if part in COPIED:
        copied = COPIED[part]
        return _folder(part, *gobuild.sources(SOURCES / copied.source), repr(copied))
    return _folder(part, *gobuild.sources(SOURCES / part)) / part


def ensure(part: str) -> Path:
    """The part, built if it is not there yet. Raises SlipwayError."""
    found = path(part)
    if part in COPIED:
        cache.ensure(found, partial(_copy, COPIED[part]))
    else:
        cache.ensure(found.parent, _build_provider if part == "provider" else partial(_build, part))
    return found


def kubernetes_version(go_mod: str) -> str:
    """Version of Kubernetes in kubebox, such as 1.37.2."""
    found = re.search(r"^\s*k8s\.io/kubernetes v(\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise SlipwayError("k8s.io/kubernetes is not required", where="kubebox/go.mod", fix="Run `go get` on it there")
    return found[1]


def provider_version(project: str) -> str:
    """Version of Pulumi's Kubernetes plugin: that of the Python SDK, which Pulumi asks for."""
    found = re.search(r'"pulumi-kubernetes==([^"]+)"', project)
    if found is None:
        raise SlipwayError("pulumi-kubernetes is not pinned", where="pyproject.toml", fix="Pin it with ==")
    return found[1]


def _folder(part: str, *made_from: bytes | str) -> Path:
    return cache.folder("kubernetes", f"{part}-{cache.fingerprint(*made_from)}")


def _build(part: str, folder: Path) -> None:
    gobuild.check_go(part)
    progress.say(f"building {part} for the tests of Kubernetes, once")
    started = time.monotonic()
    flags = _version_flags(kubernetes_version((SOURCES / part / "go.mod").read_text())) if part == "kubebox" else ()
    gobuild.build(SOURCES / part, PACKAGES[part], folder / part, part, ldflags=flags)
    progress.say(f"built {part} in {time.monotonic() - started:.0f} s")


def _version_flags(version: str) -> tuple[str, ...]:
    """Kubernetes' parts compare their versions with each other, and a build without one is 0.0.0."""
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return tuple(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())


def _build_provider(folder: Path) -> None:
    """The published module lacks two files that its own build generates from files beside them."""
    what = "Pulumi's Kubernetes plugin"
    gobuild.check_go(what)
    progress.say(f"building {what}, 7 to 13 minutes the first time")
    started = time.monotonic()
    version = provider_version(PROJECT.read_text())
    with tempfile.TemporaryDirectory(prefix="slipway-provider-") as name:
        source = Path(name)
        for item in PROVIDER_SOURCE.glob("*.*"):
            shutil.copyfile(item, source / item.name)
        _slim_sdk(source)
        given = gobuild.module_dir(source, PROVIDER_MODULE) / "cmd" / PROVIDER
        schema = json.loads((given / "schema.json").read_text())
        (source / "schema-embed.json").write_text(json.dumps(schema | {"version": version}))
        shutil.copyfile(given / "terraform-mapping.json", source / "terraform-mapping-embed.json")
        flag = f"-X {PROVIDER_MODULE}/pkg/version.Version={version}"
        gobuild.build(source, ".", folder / PROVIDER, what, ldflags=(flag,))
    progress.say(f"built {what} in {time.monotonic() - started:.0f} s")


def _slim_sdk(source: Path) -> None:
    """Have the module in `source` use a copy of the SDK without what it does not need."""
    progress.run(["go", "mod", "download", SDK_MODULE, PROVIDER_MODULE], "Pulumi's SDK for Kubernetes", cwd=source)
    given, made = gobuild.module_dir(source, SDK_MODULE), source / "sdk"
    for part in SDK_PARTS:
        folder = Path("go/kubernetes", part)
        (made / folder).mkdir(parents=True, exist_ok=True)
        for item in (given / folder).glob("*.*"):
            if item.is_file():
                shutil.copyfile(item, made / folder / item.name)
    shutil.copyfile(given / "go.mod", made / "go.mod")
    shutil.copyfile(PROVIDER_SOURCE / "kinds/kinds.go", made / "go/kubernetes/yaml/v2/kinds.go")
    with (source / "go.mod").open("a") as file:
        file.write(f"\nreplace {SDK_MODULE} => ./sdk\n")


def _copy(copied: Copied, folder: Path) -> None:
    gobuild.check_go(copied.kind)
    source = SOURCES / copied.source
    progress.run(["go", "mod", "download", *copied.files], f"modules with each {copied.kind}", cwd=source)
    for module, globs in copied.files.items():
        place = gobuild.module_dir(source, module)
        found = [item for pattern in globs for item in sorted(place.glob(pattern))]
        for item in found:
            if f"kind: {copied.kind}\n" in item.read_text():
                shutil.copyfile(item, folder / item.name)


def main(argv: Sequence[str]) -> int:
    if list(argv[:1]) != ["build"] or not set(argv[1:]) <= set(PARTS):
        progress.say(f"usage: python3 -m tools.kubernetes build [{'|'.join(PARTS)}]…")
        return 2
    try:
        for part in argv[1:] or PARTS:
            print(part, ensure(part))
    except SlipwayError as error:
        progress.say(f"slipway: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
