"""The Pulumi program: read the stack's configuration, make a plan of it, provision the plan."""

import pulumi

from slipway.errors import SlipwayError
from slipway.plan import make_plan
from slipway.releases import load_lock, load_release
from stacks.config import artifacts, read_settings
from stacks.program import provision

try:
    settings = read_settings()
    release = load_release(settings.release)
    plan = make_plan(settings, release, load_lock(release.name), artifacts().images, stack=pulumi.get_stack())
except SlipwayError as error:
    # A RunError is shown as it is; anything else would come with a traceback that helps nobody.
    raise pulumi.RunError(str(error)) from None

provision(plan, settings)
