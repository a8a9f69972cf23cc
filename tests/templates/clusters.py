"""Plans of clusters, made from stack files as a user writes them, and what is rendered from them."""

from __future__ import annotations

from pathlib import Path

from slipway.desired import HostFile
from slipway.manifests import render_cluster
from slipway.plan import make_plan
from slipway.plan_types import Plan
from slipway.releases import load_release
from slipway.render import load_templates
from slipway.settings import parse_stack_file
from tests.support.locks import lock_of

TEMPLATES = Path(__file__).parents[2] / "templates"
FILES = Path(__file__).parent / "cluster"
CASES = sorted(path.stem for path in FILES.glob("*.yaml"))


def plan_of(text: str, stack: str = "prod") -> Plan:
    settings = parse_stack_file(text, f"Pulumi.{stack}.yaml")
    release = load_release(settings.release)
    return make_plan(settings, release, lock_of(release.name), {}, stack=stack)


def case(name: str) -> Plan:
    return plan_of((FILES / f"{name}.yaml").read_text(encoding="utf-8"))


def rendered(plan: Plan) -> tuple[HostFile, ...]:
    return render_cluster(load_templates(TEMPLATES / "host"), load_templates(TEMPLATES / "cluster"), plan)
