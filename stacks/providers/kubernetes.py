"""A cluster that exists: nothing of it is made, and nothing of it is taken away."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
import yaml

from slipway.doctor.cluster import cluster_wanted
from slipway.errors import PlanError
from stacks import resources
from stacks.providers import Cluster, HostsArgs

VERIFIED = (
    "run: on a control plane of Kubernetes 1.37 with KWOK's nodes, and its manifests on one real kubelet on CPUs; on "
    "no cloud's cluster and no GPU"
)

WHERE = "slipway:cluster"


def create_cluster(args: HostsArgs, opts: pulumi.ResourceOptions) -> Cluster:
    """The cluster of the context that the stack file names.

    Raises PlanError for a kubeconfig that is not there or cannot be read, and for a context that it does not have.
    """
    wanted = args.cluster
    path = _path(wanted.kubeconfig)
    try:
        text = path.read_text(encoding="utf-8")
        contexts = _contexts(text)
    except OSError as error:
        what = f"the kubeconfig {path} cannot be read: {error.strerror or error}"
        raise PlanError(what, where=f"{WHERE}.kubeconfig", fix="Write its path, or set KUBECONFIG") from None
    except (UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, KeyError):
        fix = "Write the path of a kubeconfig"
        raise PlanError(f"{path} is no kubeconfig", where=f"{WHERE}.kubeconfig", fix=fix) from None
    if wanted.context not in contexts:
        what = f"{path} has no context {wanted.context!r}"
        fix = f"Write one of: {', '.join(contexts)}" if contexts else "It has none at all"
        raise PlanError(what, where=f"{WHERE}.context", fix=fix)
    return Cluster(
        name=wanted.context,
        kubeconfig=pulumi.Output.secret(text),
        context=wanted.context,
        asked=_asked(args, path.resolve(), opts),
    )


def _asked(args: HostsArgs, path: Path, opts: pulumi.ResourceOptions) -> pulumi.Resource | None:
    wanted = cluster_wanted(args.cluster)
    if wanted is None:
        return None
    return resources.Cluster(
        args.plan.stack,
        kubeconfig=str(path),
        context=wanted.context,
        namespace=wanted.namespace,
        selector=dict(wanted.selector),
        custom=wanted.custom,
        opts=opts,
    )


def _path(said: str | None) -> Path:
    """KUBECONFIG may name several files, which kubectl merges: the first one is taken."""
    named = said or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(named) if named else Path.home() / ".kube" / "config"


def _contexts(text: str) -> list[str]:
    return [str(context["name"]) for context in yaml.safe_load(text).get("contexts") or ()]
