"""The Pulumi program: read the stack's configuration, make a plan of it, provision the plan."""

import pulumi

from slipway.auto import settled
from slipway.errors import SlipwayError
from slipway.plan import make_plan
from slipway.releases import load_lock, load_release
from stacks.config import artifacts, read_settings
from stacks.program import provision, refuse

try:
    settings, advice = settled(read_settings())
    release = load_release(settings.release)
    lock, images = load_lock(release.name), artifacts().images
    plan = make_plan(settings, release, lock, images, stack=pulumi.get_stack(), advice=advice)
    provision(plan, settings, advice)
except SlipwayError as error:
    refuse(error)
