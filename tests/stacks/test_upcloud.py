"""UpCloud's servers, as the root program asks for them under Pulumi's mocks, against the SDK's own types.

The provider's binary and the cloud are not here: that the cloud does with these resources what they say is not tested.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pulumi_upcloud
import pytest
import yaml

from slipway.hosting import user_data
from stacks.providers import upcloud
from stacks.providers.native import problems
from tests.stacks.conftest import Run
from tests.support.golden import check_golden
from tests.support.mocks import Asked, Graph, in_clear
from tests.support.sdk import wrong_arguments

ONE = """\
config:
  slipway:provider: upcloud
  slipway:release: local-2026.11
  slipway:model: {name: smollm2-135m-instruct, context: 2048}
  slipway:upcloud:
    zone: fi-hel2
    plan: 4xCPU-8GB
    ssh_from: [192.0.2.7, "2001:db8::/32"]
"""
CACHE = (
    ONE + "    cache: 100GB\n    cache_retain: true\n    clients_from: [198.51.100.0/24]\n    labels: {team: models}\n"
)
THREE = ONE + "    floating_ip: true\n  slipway:hosts: {count: 3}\n  slipway:engine: {replicas: 2}\n"
HUNDRED = ONE + "  slipway:hosts: {count: 100}\n"

STACKS = {"one": ONE, "cache": CACHE, "three": THREE}


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = run(STACKS[name]).text()
    check_golden(f"stacks/upcloud-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "upcloud") == {}


def test_the_check_finds_what_it_is_for() -> None:
    good = {"hostname": "h", "zone": "fi-hel2", "template": {"size": 10}, "network_interfaces": [{"type": "public"}]}
    assert list(problems(pulumi_upcloud.ServerArgs, good)) == []
    bad = {
        "zone": 5, "tempalte": {}, "template": {"sise": 10, "size": "10"}, "network_interfaces": [{}, "public"],
        "labels": {"a": 1}, "firewall": "yes", "login": [], "tags": "a",
    }  # fmt: skip
    assert [f"{path}: {what}" for path, what in problems(pulumi_upcloud.ServerArgs, bad)] == [
        "zone: this is not text",
        "tempalte: Server has no such argument. Did you mean template?",
        "template.sise: ServerTemplate has no such argument. Did you mean size?",
        "template.size: this is not a whole number",
        "network_interfaces[0].type: ServerNetworkInterface needs this argument",
        "network_interfaces[1]: this is no mapping",
        "labels.a: this is not text",
        "firewall: this is not true or false",
        "login: this is no mapping",
        "tags: this is no list",
        "hostname: Server needs this argument",
    ]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, name: str, preview: bool) -> None:
    graph = run(STACKS[name], preview=preview)
    for asked in graph.resources:
        assert not [text for text in in_clear(asked.inputs) if "SECRET" in text], asked.key
    clear = {key: value for key, value in graph.outputs.items() if key not in graph.secret_outputs}
    assert not [text for text in in_clear(clear) if "SECRET" in text]
    servers = graph.of("upcloud:index/server:Server")
    assert all(list(server.inputs["userData"]) == ["[secret]"] for server in servers)
    assert all(server.options["secret_outputs"] == ["userData"] for server in servers)


def cloud_config(server: Asked) -> dict[str, Any]:
    text = server.inputs["userData"]["[secret]"]
    assert text.startswith("#cloud-config\n")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_a_server_is_born_with_the_key_that_the_connection_expects(run: Run) -> None:
    graph = run(THREE)
    for server in graph.of("upcloud:index/server:Server"):
        config = cloud_config(server)
        assert config["ssh_keys"]["ed25519_private"] == f"SECRET-{server.name}-key-private_key"
        host = next(one for one in graph.of("slipway:index:Host") if one.name == server.name)
        connection = host.inputs["connection"]
        assert connection["host_key"] == config["ssh_keys"]["ed25519_public"] == f"ssh-ed25519 {server.name}-key"
        assert (connection["host_key_policy"], connection["user"]) == ("pinned", server.inputs["login"]["user"])


def opened(graph: Graph) -> dict[str, set[str]]:
    """Destination ports that are open, to where from; the same for every server."""
    rules = [one.inputs["firewallRules"] for one in graph.of("upcloud:index/serverFirewallRules:ServerFirewallRules")]
    assert all(one == rules[0] for one in rules)
    assert [(rule["direction"], rule["action"]) for rule in rules[0]][-2:] == [("in", "drop"), ("out", "accept")]
    found: dict[str, set[str]] = {}
    for rule in rules[0][:-2]:
        port = rule.get("destinationPortStart", f"answers from {rule.get('sourcePortStart')}")
        found.setdefault(port, set()).add(f"{rule['sourceAddressStart']}-{rule['sourceAddressEnd']}")
    return found


def test_only_what_the_plan_lists_is_open(run: Run) -> None:
    ours = {"192.0.2.7-192.0.2.7", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"}
    answers = {"answers from 53", "answers from 123"}
    one = opened(run(ONE))
    assert one.keys() == {"22", "8443"} | answers
    assert (one["22"], one["8443"]) == (ours, {"0.0.0.0-255.255.255.255"})
    assert opened(run(CACHE))["8443"] == {"198.51.100.0-198.51.100.255"}
    assert opened(run(THREE)).keys() == {"22"} | answers, "clients come through the load balancer"


def test_nothing_connects_before_the_firewall_stands(run: Run) -> None:
    for host in run(ONE).of("slipway:index:Host"):
        assert "upcloud:index/serverFirewallRules:ServerFirewallRules::test-0" in host.dependencies


def test_a_load_balancer_asks_ready_and_holds_a_host_to_its_places(run: Run) -> None:
    graph = run(THREE)
    members = graph.of("upcloud:index/loadbalancerStaticBackendMember:LoadbalancerStaticBackendMember")
    assert [member.name for member in members] == ["test-0", "test-1", "test-2"]
    assert {member.inputs["maxSessions"] for member in members} == {2 * 4 + 32}
    assert len({member.inputs["ip"] for member in members}) == 3
    assert all(member.inputs["ip"].startswith("10.77.0.") for member in members)
    (backend,) = graph.of("upcloud:index/loadbalancerBackend:LoadbalancerBackend")
    assert backend.inputs["properties"]["healthCheckUrl"].endswith("/ready")
    assert backend.inputs["properties"]["timeoutServer"] == 5 + 15 + 300
    services = graph.of("slipway:index:Service")
    assert {service.inputs["desired"]["drain"]["settle"] for service in services} == {15}


def test_clients_use_one_address_that_certificates_hold(run: Run) -> None:
    graph = run(THREE)
    assert graph.outputs["endpoint"] == "https://198.51.100.7:8443/v1"
    assert graph.outputs["endpoints"] == ["https://198.51.100.7:8443/v1"]
    for certificate in graph.of("slipway:index:Certificate"):
        assert {"198.51.100.7", "public.lb.example", certificate.name} <= set(certificate.inputs["names"])


def test_outputs_say_what_each_host_is_and_costs(run: Run) -> None:
    outputs = run(ONE).outputs
    (host,) = outputs["hosts"]
    assert host.keys() == {"name", "address", "host_key", "gpu", "zone", "price"}
    assert (host["zone"], host["price"], host["gpu"]) == ("fi-hel2", 0.0712, "")
    assert outputs["monthly_cost"] == round(0.0712 * 730, 2)
    elsewhere = run(ONE.replace("fi-hel2", "de-fra1")).outputs
    assert (elsewhere["hosts"][0]["price"], elsewhere["monthly_cost"]) == (None, None), "prices differ by region"


def test_the_disk_for_weights_outlives_a_server(run: Run) -> None:
    graph = run(CACHE)
    (disk,) = graph.of("upcloud:index/storage:Storage")
    (server,) = graph.of("upcloud:index/server:Server")
    assert disk.options == {"retain_on_delete": True}
    assert server.options["delete_before_replace"] is True
    assert server.inputs["template"]["size"] == 20, "no weights on it"
    script = cloud_config(server)["bootcmd"][0][-1]
    serial = server.inputs["storageDevices"][0]["storage"].replace("-", "")[:20]
    assert f"blkid -p /dev/disk/by-id/virtio-{serial} " in script


@pytest.mark.parametrize(("answer", "formatted"), [(0, False), (2, True), (4, False), (8, False)])
def test_a_disk_is_formatted_only_where_there_is_nothing_on_it(answer: int, formatted: bool, tmp_path: Path) -> None:
    import subprocess

    config = yaml.safe_load(user_data("PRIVATE", "PUBLIC", cache_device=str(tmp_path / "disk")))
    said = tmp_path / "said"
    fakes = {"sleep": 0, "blkid": answer, "mkfs.ext4": 0, "mkdir": 0, "grep": 0, "mountpoint": 0}
    for name, code in fakes.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >>{said}\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    shell, *arguments = config["bootcmd"][0]
    subprocess.run([f"/bin/{shell}", *arguments], env={"PATH": str(tmp_path)}, check=True, timeout=10)
    assert ("mkfs.ext4" in said.read_text().split()) == formatted


def test_several_servers_are_kept_apart(run: Run) -> None:
    graph = run(THREE)
    (group,) = graph.of("upcloud:index/serverGroup:ServerGroup")
    assert (group.inputs["antiAffinityPolicy"], group.inputs["trackMembers"]) == ("yes", False)
    assert len({server.inputs["serverGroup"] for server in graph.of("upcloud:index/server:Server")}) == 1
    assert not run(ONE).of("upcloud:index/serverGroup:ServerGroup")


def test_a_new_template_or_script_is_for_hosts_that_are_named(run: Run) -> None:
    graph = run(THREE.replace("{count: 3}", "{count: 3, renew: [test-1]}"))
    keeps = {one.name: one.options.get("ignore_changes") for one in graph.of("upcloud:index/server:Server")}
    born = ["userData", "template.storage"]
    assert keeps == {"test-0": born, "test-1": None, "test-2": born}


def test_a_server_that_is_made_anew_takes_no_other_with_it(run: Run) -> None:
    """What depends on a server changes with it: its own rules and its own place behind the load balancer."""
    asked = [one for one in run(THREE).resources if one.type.startswith("upcloud:")]
    below = {"upcloud:index/server:Server::test-1"}
    while more := {one.key for one in asked if below & set(one.dependencies)} - below:
        below |= more
    assert {key.rsplit("::", 1)[-1] for key in below} == {"test-1"}
    assert len(below) == 3


def test_a_host_that_is_not_there_cannot_be_made_anew(run: Run) -> None:
    graph = Graph()
    with pytest.raises(SystemExit):
        run(THREE.replace("{count: 3}", "{count: 3, renew: [test-3]}"), graph=graph)
    assert graph.log[-1] == ("slipway:hosts.renew: the stack has no host test-3. Its hosts are test-0, test-1, test-2")


def test_a_hundred_hosts_are_previewed(run: Run) -> None:
    graph = run(HUNDRED, preview=True)
    for kind in ("server:Server", "serverFirewallRules:ServerFirewallRules"):
        assert len(graph.of(f"upcloud:index/{kind}")) == 100
    assert len(graph.of("slipway:index:Host")) == 100
    assert graph.outputs["endpoint"] == "[unknown]"


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = "    server_args: {timezone: Europe/Helsinki, template: {title: mine}, nic_model: virtio}\n"
    (server,) = run(ONE + more).of("upcloud:index/server:Server")
    assert (server.inputs["timezone"], server.inputs["nicModel"]) == ("Europe/Helsinki", "virtio")
    assert server.inputs["template"] == {
        "storage": upcloud.UPCLOUD_TEMPLATES["debian:12"], "size": 20, "tier": "maxiops", "encrypt": True,
        "title": "mine",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            "    server_args: {time_zone: UTC, template: {tiers: hdd}}\n",
            "slipway:upcloud.server_args: time_zone: Server has no such argument. Did you mean timezone?; "
            "template.tiers: ServerTemplate has no such argument. Did you mean tier?. Correct this, or take it out",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, more: str, sentence: str) -> None:
    graph = Graph()
    with pytest.raises(SystemExit) as left:
        run(ONE + more, graph=graph)
    assert left.value.code == 32
    assert graph.log[-1:] == [sentence]


def test_a_missing_sdk_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("stacks.providers.upcloud")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pulumi_upcloud", None)
    graph = Graph()
    with pytest.raises(SystemExit):
        run(ONE, graph=graph)
    assert graph.log == [
        "slipway:provider: the provider upcloud needs the package pulumi_upcloud, which is not installed. "
        "Run: pip install 'slipway[upcloud]'"
    ]


def test_an_os_without_a_template_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcloud, "UPCLOUD_TEMPLATES", {})
    graph = Graph()
    with pytest.raises(SystemExit):
        run(ONE, graph=graph)
    assert "no template of debian:12, the OS of release local-2026.11, is known" in graph.log[-1]
    (server,) = run(ONE + "    template: 01000000-0000-4000-8000-000030700200\n").of("upcloud:index/server:Server")
    assert server.inputs["template"]["storage"] == "01000000-0000-4000-8000-000030700200"


def test_cloud_config_is_yaml() -> None:
    config = yaml.safe_load(user_data("-----BEGIN\nkey: value\n-----END\n", "ssh-ed25519 A"))
    assert config["ssh_keys"]["ed25519_private"] == "-----BEGIN\nkey: value\n-----END\n"
    assert "bootcmd" not in config
    assert json.dumps(config)
