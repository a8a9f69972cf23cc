"""The Pulumi program: read the stack's configuration, make a plan of it, provision the plan."""

from pathlib import Path

import pulumi

from slipway.auto import settled
from slipway.errors import SlipwayError
from slipway.paths import RELEASES
from slipway.plan import make_plan
from slipway.releases import add_releases, load_lock, load_release
from stacks.config import artifacts, read_settings
from stacks.program import provision, refuse

add_releases(Path(RELEASES))  # Pulumi starts a program in the folder of its Pulumi.yaml
try:
    settings, advice = settled(read_settings())
    release = load_release(settings.release)
    lock, images = load_lock(release.name), artifacts().images
    plan = make_plan(settings, release, lock, images, stack=pulumi.get_stack(), advice=advice)
    provision(plan, settings, advice)
except SlipwayError as error:
    refuse(error)
