"""What was built on this computer: `artifacts.json` in the state folder, which `make images` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.errors import PlanError
from slipway.plan import BuiltImage

FILE = "artifacts.json"


@dataclass(frozen=True)
class Artifacts:
    """Images by the name of their recipe, and bases: the absolute path of each root file system by its name."""

    images: Mapping[str, BuiltImage] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)

    def base(self, name: str) -> str:
        """The root file system of a base. Raises PlanError before it was built."""
        if name not in self.bases:
            raise PlanError(f"the base {name} was not built on this machine yet", where=FILE, fix="Run: make images")
        return self.bases[name]


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
