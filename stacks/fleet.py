"""The hosts of a plan and what runs on them, changed wave by wave."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import pulumi

from slipway.desired import ServiceDesired
from slipway.plan_types import Plan, WavePlan
from slipway.render import load_templates, render_host
from slipway.rollout import asked_before
from slipway.service_plan import service_desired
from stacks.providers import Host
from stacks.resources import Certificate, Gate, Service, StackKeys
from stacks.resources import Host as HostResource

TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "host"
TLS = "/etc/slipway/tls"
KEYS_ACL = "/etc/slipway/keys.acl"

MOST_PEERS = 8
"""hosts of later waves that a gate compares with: their median moves little with more, and each costs a connection"""
HOST_TRIGGER = "the host below"
"""among the triggers of a gate, beside names of hosts, none of which has a blank"""


@dataclass(frozen=True)
class FleetArgs:
    """The plan, its hosts in the plan's order, the stack's keys, and what a private model source asks for.
    `model_endpoint` is where the model's bucket is, where that is known only once it is made."""

    plan: Plan
    hosts: list[Host]
    keys: StackKeys
    model_credentials: dict[str, pulumi.Input[str]] | None = None
    model_endpoint: pulumi.Input[str] | None = None


class Fleet(pulumi.ComponentResource):
    """Converges every host to its release and service.

    Waves are edges of the graph: a host of one wave depends on the gate behind the wave before it, so a canary that
    fails stops `pulumi up` before the next wave starts.
    """

    completion: pulumi.Output[str]
    """what the first host's model answered when it passed its health gate"""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:stacks:Fleet", name, {}, opts)
        by_name = {host.name: host for host in args.hosts}
        # Rendering costs more than registering a resource does, and all hosts of a plan get the same files.
        service = _rendered(args.plan)
        services: list[Service] = []
        gate: Gate | None = None
        for wave in args.plan.waves:
            members = [by_name[host] for host in wave.hosts]
            placed = [self._place(args, host, gate, service, _peers(args, wave, host)) for host in members]
            services += placed
            if wave is not args.plan.waves[-1]:
                gate = self._gate(args, wave, placed)
        self.completion = services[0].completion
        self.register_outputs({"completion": self.completion})

    def _place(self, args: FleetArgs, host: Host, gate: Gate | None, service: ServiceDesired, peers: Peers) -> Service:
        child = pulumi.ResourceOptions(parent=self)
        windows = [window.model_dump(mode="json") for window in args.plan.windows] or None
        converged = HostResource(
            host.name,
            connection=host.connection,
            desired=args.plan.host.model_dump(mode="json"),
            windows=windows,
            peers=peers.hosts or None,
            peers_out=peers.out or None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gate] if gate else [], deleted_with=host.machine),
        )
        certificate = Certificate(
            host.name,
            ca_certificate=args.keys.ca_certificate,
            ca_key=args.keys.ca_key,
            names=[host.address, host.name, "localhost", "127.0.0.1", *host.names],
            opts=child,
        )
        return Service(
            host.name,
            connection=host.connection,
            desired=_service(service, args, certificate),
            api_key=args.keys.api_key,
            credentials=args.model_credentials,
            windows=windows,
            peers=peers.hosts or None,
            peers_out=peers.out or None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[converged], deleted_with=host.machine),
        )

    def _gate(self, args: FleetArgs, wave: WavePlan, services: list[Service]) -> Gate:
        plan = args.plan
        by_name = {host.name: host for host in args.hosts}
        later = [host for other in plan.waves if other.index > wave.index for host in other.hosts]
        changed = {host: service.fingerprint for host, service in zip(wave.hosts, services, strict=True)}
        return Gate(
            f"wave-{wave.index}",
            connections=[by_name[host].connection for host in wave.hosts],
            bake_seconds=wave.bake_seconds,
            # A change below the service leaves its fingerprint as it is: another driver, another runtime.
            triggers={**changed, HOST_TRIGGER: _digest(plan.host.model_dump_json())},
            engines=[f"{replica.url}{plan.engine.metrics_path}" for replica in plan.replicas],
            peers=[by_name[host].connection for host in later[:MOST_PEERS]],
            limits=asdict(plan.limits),
            opts=pulumi.ResourceOptions(parent=self, depends_on=services),
        )


@dataclass(frozen=True)
class Peers:
    """Hosts that are asked before one lets its traffic go, as fields of `slipway.desired.Peer`; how many may be out."""

    hosts: list[dict[str, pulumi.Input[object]]]
    out: int


def _peers(args: FleetArgs, wave: WavePlan, host: Host) -> Peers:
    names, out = asked_before(host.name, wave, args.plan.waves)
    by_name = {other.name: other.connection for other in args.hosts}
    # The key that opens this host opens them: it need not be in the state once for each.
    return Peers([{key: by_name[name][key] for key in by_name[name] if key != "private_key"} for name in names], out)


def _rendered(plan: Plan) -> ServiceDesired:
    files = render_host(load_templates(TEMPLATES), plan)
    return service_desired(plan, files, extra_proxy_files=(f"{TLS}/server.pem", f"{TLS}/ca.pem", KEYS_ACL))


def _service(desired: ServiceDesired, args: FleetArgs, certificate: Certificate) -> dict[str, object]:
    """What the service should be, with the files whose content only exists once keys and certificates do, and the
    place of a bucket that only exists once it is made."""
    properties, keys = desired.model_dump(mode="json"), args.keys
    if args.model_endpoint is not None:
        properties["model"]["endpoint"] = args.model_endpoint
    properties["files"] += [
        _secret_file(f"{TLS}/server.pem", certificate.bundle),
        {"path": f"{TLS}/ca.pem", "content": keys.ca_certificate, "mode": 0o644, "owner": "root:root", "secret": False},
        _secret_file(KEYS_ACL, keys.api_key.apply(_key_digest)),
    ]
    return properties


def _secret_file(path: str, content: pulumi.Input[str]) -> dict[str, object]:
    return {"path": path, "content": content, "mode": 0o640, "owner": "root:65532", "secret": True}


def _key_digest(api_key: str) -> str:
    """The proxy compares digests, so that no host holds the key itself."""
    return hashlib.sha256(api_key.encode()).hexdigest() + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
