"""What was built on this computer: `artifacts.json` in the state folder, which `make images` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.errors import PlanError
from slipway.plan import BuiltImage

FILE = "artifacts.json"

BASES = {"debian:12": "bookworm", "debian:13": "trixie"}
"""which base is the bare system of a release"""


@dataclass(frozen=True)
class Artifacts:
    """Images by the name of their recipe, and bases: the absolute path of each root file system by its name."""

    images: Mapping[str, BuiltImage] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)

    def base(self, name: str) -> str:
        """The root file system of a base. Raises PlanError before it was built."""
        if name not in self.bases:
            what = f"the base {name} was not built on this machine yet"
            fix = "Run: make images" if name == BASES["debian:12"] else f"Run: python3 -m tools.artifacts build {name}"
            raise PlanError(what, where=FILE, fix=fix)
        return self.bases[name]

    def base_of(self, os: str) -> str:
        """The root file system of the base that is `os` ("debian:12"). Raises PlanError where there is none."""
        if os not in BASES:
            fix = f"Choose a release for {' or '.join(BASES)}, or use provider: ssh"
            raise PlanError(f"no base of local machines is {os}", where="slipway:release", fix=fix)
        return self.base(BASES[os])


def parse_artifacts(text: str) -> Artifacts:
    """The artifacts that `artifacts.json` names. Raises PlanError when the text is not what `make images` writes."""
    try:
        found = json.loads(text)
        return Artifacts(
            images={
                name: BuiltImage(
                    reference=image["image_id"],
                    archive=image["archive"],
                    archive_sha256=image["archive_sha256"],
                    digest=image["digest"],
                )
                for name, image in found["images"].items()
            },
            bases={name: base["tree"] for name, base in found["bases"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"this cannot be read: {error!r}", where=FILE, fix="Run: make images") from None
