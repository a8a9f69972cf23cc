"""The provider's resources, as a Pulumi program sees them. `bootstrap.plugin.resources` is what stands behind them.

Pass secrets as outputs at the leaves of `connection` and `desired`, and leave the objects around them plain: an object
that is an output as a whole is secret as a whole, and no difference inside it can be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pulumi

Object: TypeAlias = Mapping[str, Any]
"""an object property; values at any depth may be outputs"""


class StackKeys(pulumi.CustomResource):
    """The secrets of a stack, made once. Replacing the resource rotates all of them; a new `api_key` only that."""

    api_key: pulumi.Output[str]
    """secret; what clients send as bearer token"""
    ca_certificate: pulumi.Output[str]
    """PEM"""
    ca_key: pulumi.Output[str]
    """secret; PEM"""
    ssh_public_key: pulumi.Output[str]
    """OpenSSH public key line"""
    ssh_private_key: pulumi.Output[str]
    """secret; OpenSSH PEM"""

    def __init__(
        self,
        resource_name: str,
        *,
        stack: pulumi.Input[str],
        api_key: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`api_key`: the key to use; one is made when it is left out."""
        super().__init__(
            "slipway:index:StackKeys",
            resource_name,
            {
                "stack": stack,
                "api_key": api_key,
                **_outputs("ca_certificate", "ca_key", "ssh_public_key", "ssh_private_key"),
            },
            _secret(opts, "api_key", "ca_key", "ssh_private_key"),
        )


class HostKey(pulumi.CustomResource):
    """The SSH host key that a machine is born with. `import_` takes the path of an OpenSSH private key."""

    public_key: pulumi.Output[str]
    """OpenSSH public key line"""
    private_key: pulumi.Output[str]
    """secret; OpenSSH PEM"""

    def __init__(
        self, resource_name: str, *, name: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """`name`: the host's name, which becomes the key's comment."""
        super().__init__(
            "slipway:index:HostKey",
            resource_name,
            {"name": name, **_outputs("public_key", "private_key")},
            _secret(opts, "private_key"),
        )


class Certificate(pulumi.CustomResource):
    """A host's TLS certificate for 397 days, made anew in its last thirty."""

    certificate: pulumi.Output[str]
    """PEM"""
    private_key: pulumi.Output[str]
    """secret; PEM"""
    bundle: pulumi.Output[str]
    """secret; PEM of key and certificate, as HAProxy reads it"""
    not_after: pulumi.Output[str]
    """ISO 8601, UTC"""

    def __init__(
        self,
        resource_name: str,
        *,
        ca_certificate: pulumi.Input[str],
        ca_key: pulumi.Input[str],
        names: Sequence[pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`names`: DNS names and IP addresses that clients use."""
        super().__init__(
            "slipway:index:Certificate",
            resource_name,
            {
                "ca_certificate": ca_certificate,
                "ca_key": ca_key,
                "names": names,
                **_outputs("certificate", "private_key", "bundle", "not_after"),
            },
            _secret(opts, "private_key", "bundle"),
        )


class Machine(pulumi.CustomResource):
    """A machine booted on this computer. Any change replaces it; a dead one is started again with its disk."""

    address: pulumi.Output[str]
    port: pulumi.Output[int]
    """TCP port of SSH at `address`"""
    service_ports: pulumi.Output[dict[str, int]]
    """port in the machine (decimal) to port at `address`, for each of `forward`"""
    taken: pulumi.Output[str]
    """the kind that was taken; `why` says why"""
    why: pulumi.Output[str]
    alive: pulumi.Output[bool]

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        stack: pulumi.Input[str],
        kind: pulumi.Input[str],
        authorized_key: pulumi.Input[str],
        host_key_public: pulumi.Input[str],
        host_key_private: pulumi.Input[str],
        base: pulumi.Input[str],
        state: pulumi.Input[str],
        cpus: pulumi.Input[int] | None = None,
        memory_mib: pulumi.Input[int] | None = None,
        disk_gib: pulumi.Input[int] | None = None,
        forward: Sequence[pulumi.Input[int]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`base`: absolute path of the root file system tree; `state`: absolute path of the machine's own folder."""
        super().__init__(
            "slipway:index:Machine",
            resource_name,
            {
                "name": name,
                "stack": stack,
                "kind": kind,
                "authorized_key": authorized_key,
                "host_key_public": host_key_public,
                "host_key_private": host_key_private,
                "base": base,
                "state": state,
                "cpus": cpus,
                "memory_mib": memory_mib,
                "disk_gib": disk_gib,
                "forward": forward,
                **_outputs("address", "port", "service_ports", "taken", "why", "alive"),
            },
            opts,
        )


class Host(pulumi.CustomResource):
    """A host, converged to a release over SSH."""

    host_key: pulumi.Output[str]
    """the OpenSSH host key line that was met"""
    release: pulumi.Output[str]
    boot_id: pulumi.Output[str]
    changed: pulumi.Output[list[str]]
    """operations that acted in the last convergence"""
    seconds: pulumi.Output[dict[str, float]]
    """how long each of its steps took"""
    drift: pulumi.Output[dict[str, str]]
    """pin to sentence, as of the last refresh"""

    def __init__(
        self,
        resource_name: str,
        *,
        connection: Object,
        desired: Object,
        windows: Sequence[Object] | None = None,
        triggers: Object | None = None,
        peers: Sequence[Object] | None = None,
        peers_out: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`connection`, `desired`, each of `windows`: fields of `slipway.desired.Connection`, `HostDesired`, `Window`.

        Outside of its windows an update does not begin to bring the host to another release; at any time without. It
        lets its traffic go only while at most `peers_out` of `peers` (fields of `slipway.desired.Peer`) are out of
        service.
        """
        super().__init__(
            "slipway:index:Host",
            resource_name,
            {
                "connection": connection,
                "desired": desired,
                "windows": windows,
                "triggers": triggers,
                "peers": peers,
                "peers_out": peers_out,
                **_outputs("host_key", "release", "boot_id", "changed", "seconds", "drift"),
            },
            opts,
        )


class Service(pulumi.CustomResource):
    """What serves a model on one host, up and past its health gate."""

    release: pulumi.Output[str]
    fingerprint: pulumi.Output[str]
    """SHA-256 of all that the service should be: what a gate behind it takes as trigger"""
    completion: pulumi.Output[str]
    """what the model answered at the health gate"""
    changed: pulumi.Output[list[str]]
    seconds: pulumi.Output[dict[str, float]]
    """how long each step of the last convergence took"""
    host_key: pulumi.Output[str]
    drift: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        resource_name: str,
        *,
        connection: Object,
        desired: Object,
        api_key: pulumi.Input[str],
        credentials: Object | None = None,
        windows: Sequence[Object] | None = None,
        triggers: Object | None = None,
        peers: Sequence[Object] | None = None,
        peers_out: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`connection`, `desired`: fields of `slipway.desired.Connection` and `ServiceDesired`.

        `credentials`, for a private model source: `token`, or `access_key`, `secret_key`, `session_token`, `region`.
        `peers`, `peers_out`: as of a `Host`. Outside of its `windows` no other model or image begins to serve.
        """
        super().__init__(
            "slipway:index:Service",
            resource_name,
            {
                "connection": connection,
                "desired": desired,
                "api_key": api_key,
                "credentials": credentials,
                "windows": windows,
                "triggers": triggers,
                "peers": peers,
                "peers_out": peers_out,
                **_outputs("release", "fingerprint", "completion", "changed", "seconds", "host_key", "drift"),
            },
            _secret(opts, "api_key"),
        )


class Gate(pulumi.CustomResource):
    """Watches the hosts of a wave for the bake time, so that what depends on it only starts when all is well."""

    figures: pulumi.Output[dict[str, dict[str, float]]]
    """host to mean times in seconds when the gate passed: latency, first_byte, first_token, per_token"""
    requests: pulumi.Output[dict[str, float]]
    """host to requests seen in the bake time"""

    def __init__(
        self,
        resource_name: str,
        *,
        connections: Sequence[Object],
        bake_seconds: pulumi.Input[float],
        triggers: Object | None = None,
        metrics_url: pulumi.Input[str] | None = None,
        engines: Sequence[pulumi.Input[str]] | None = None,
        peers: Sequence[Object] | None = None,
        bake_first: pulumi.Input[bool] | None = None,
        limits: Object | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`triggers`: fingerprints of what the wave changed; the gate asks again when one differs. `engines`: URLs of
        the engines' metrics, on the hosts. `peers`: hosts not yet changed, to compare with where the gate has no
        figures of an earlier passage. `bake_first`: bake when it is created, too, not only when triggers change.
        `limits`: fields of `slipway.limits.Limits`."""
        super().__init__(
            "slipway:index:Gate",
            resource_name,
            {
                "connections": connections,
                "bake_seconds": bake_seconds,
                "triggers": triggers,
                "metrics_url": metrics_url,
                "engines": engines,
                "peers": peers,
                "bake_first": bake_first,
                "limits": limits,
                **_outputs("figures", "requests"),
            },
            opts,
        )


class Cluster(pulumi.CustomResource):
    """A cluster that exists, asked before anything is made in it: in a preview, too, and in every `up`."""

    def __init__(
        self,
        resource_name: str,
        *,
        kubeconfig: pulumi.Input[str],
        context: pulumi.Input[str],
        namespace: pulumi.Input[str],
        selector: Mapping[str, pulumi.Input[str]],
        custom: Sequence[Sequence[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`kubeconfig`: its path. `selector`: labels of the nodes that pods may be put on. `custom`: API version and
        resource (in the plural) of each custom resource that is made."""
        super().__init__(
            "slipway:index:Cluster",
            resource_name,
            {
                "kubeconfig": kubeconfig,
                "context": context,
                "namespace": namespace,
                "selector": selector,
                "custom": custom,
            },
            opts,
        )


def _outputs(*names: str) -> dict[str, None]:
    """Pulumi makes an attribute of every property that it is given, and of no other."""
    return dict.fromkeys(names)


def _secret(opts: pulumi.ResourceOptions | None, *names: str) -> pulumi.ResourceOptions:
    """The provider marks them, too; this holds in a preview by an engine that did not ask it."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=list(names)))
