"""Stack files that tests start from."""

from __future__ import annotations

from slipway.plan import BuiltImage
from slipway.settings import Settings, parse_stack_file

LOCAL = """\
config:
  slipway:provider: local
  slipway:release: local-2026.11
  slipway:model: smollm2-135m-instruct
"""

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBUqvFiMTv9/3kOdfNrRl5lHO8w3n5hRIHvHmzGVdTtn"

BUILT = {
    name: BuiltImage(reference="sha256:" + digit * 64, archive=f"/cache/{name}/image.tar", archive_sha256=digit * 64)
    for name, digit in (("engine-llama-cpp", "a"), ("proxy", "b"), ("collector", "c"))
}


def settings(more: str = "", base: str = LOCAL) -> Settings:
    """Settings of the local stack with `more` lines under `config:`."""
    return parse_stack_file(base + more, "Pulumi.test.yaml")
