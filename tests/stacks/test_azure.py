"""Azure's servers, as the root program asks for them under Pulumi's mocks, against the SDK's own types.

The provider's binary and the cloud are not here: that the cloud does with these resources what they say is not tested.
"""

from __future__ import annotations

import base64
import sys

import pytest

from tests.stacks.conftest import Run
from tests.support.clouds import (
    assert_born_with_its_key,
    assert_no_secret_in_clear,
    cloud_config,
    one_of,
    only,
    refused,
)
from tests.support.golden import check_golden
from tests.support.mock_azure import SUBSCRIPTION
from tests.support.mocks import Asked, Graph
from tests.support.sdk import wrong_arguments

ONE = f"""\
config:
  slipway:provider: azure
  slipway:release: local-2026.11
  slipway:model: {{name: smollm2-135m-instruct, context: 2048}}
  slipway:azure:
    subscription: {SUBSCRIPTION}
    location: eastus
    vm_size: Standard_D8s_v5
    image: Debian:debian-12:12-gen2:0.20251112.2294
    ssh_from: [192.0.2.7]
"""
CACHE = (
    ONE
    + "    cache: 100GB\n    cache_retain: true\n    clients_from: [198.51.100.0/24]\n    labels: {team: models}\n"
    + "    zone: 2\n    dns_label: our-models\n"
)
THREE = ONE + "    spot: 1\n    dns_label: our-models\n  slipway:hosts: {count: 3}\n  slipway:engine: {replicas: 2}\n"
ZONES = ONE + "    anti_affinity: zones\n  slipway:hosts: {count: 4}\n"
HUNDRED = ONE + "  slipway:hosts: {count: 100}\n"
GPU = (
    ONE.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("{name: smollm2-135m-instruct, context: 2048}", "OWN")
    .replace("OWN", f'{{name: own, source: "https://m.example/own", sha256: {"a" * 64}, size: 16GB, context: 2048}}')
    .replace("Standard_D8s_v5", "Standard_NC24ads_A100_v4")
    .replace("Debian:debian-12:12-gen2:0.20251112.2294", "Canonical:ubuntu-24_04-lts:server:24.04.202511100")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)

STACKS = {"one": ONE, "cache": CACHE, "three": THREE, "zones": ZONES, "gpu": GPU}

POOLS = "loadBalancerBackendAddressPools"
VM, GUARD = "azure-native:compute:VirtualMachine", "azure-native:network:NetworkSecurityGroup"
BALANCER, ADDRESS = "azure-native:network:LoadBalancer", "azure-native:network:PublicIPAddress"
INTERFACE, APART = "azure-native:network:NetworkInterface", "azure-native:compute:AvailabilitySet"


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = only(run(STACKS[name]), "azure-native").text()
    check_golden(f"stacks/azure-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "azure-native") == {}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, name: str, preview: bool) -> None:
    graph = run(STACKS[name], preview=preview)
    assert_no_secret_in_clear(graph)
    for server in graph.of(VM):
        assert list(server.inputs["osProfile"]["customData"]) == ["[secret]"]
        assert server.options["secret_outputs"] == ["osProfile"]


def user_data(server: Asked) -> str:
    return base64.b64decode(server.inputs["osProfile"]["customData"]["[secret]"]).decode()


def test_a_server_is_born_with_the_key_that_the_connection_expects(run: Run) -> None:
    graph = run(THREE)
    for server in graph.of(VM):
        assert_born_with_its_key(graph, server.name, user_data(server), "slipway")
        born = server.inputs["osProfile"]
        assert (born["computerName"], born["adminUsername"]) == (server.name, "slipway")
        assert born["linuxConfiguration"] == {
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [{"path": "/home/slipway/.ssh/authorized_keys", "keyData": "ssh-ed25519 STACK"}]},
        }
        assert "userData" not in server.inputs, "every program on the server may ask for that"


def opened(graph: Graph) -> list[tuple[str, str, object]]:
    """What may come in, in the order in which Azure asks: whether it may, to which port, from where."""
    (guard,) = graph.of(GUARD)
    subnet = one_of(graph, "azure-native:network:Subnet")
    assert guard.key in subnet.dependencies
    assert f"/networkSecurityGroups/{guard.name}" in subnet.inputs["networkSecurityGroup"]["id"]
    assert subnet.inputs["defaultOutboundAccess"] is False
    rules = sorted(guard.inputs["securityRules"], key=lambda rule: int(rule["priority"]))
    assert {rule["direction"] for rule in rules} == {"Inbound"}
    return [
        (
            rule["access"],
            rule["destinationPortRange"],
            rule.get("sourceAddressPrefixes", rule.get("sourceAddressPrefix")),
        )
        for rule in rules
    ]


def test_only_what_the_plan_lists_is_open(run: Run) -> None:
    closed = ("Deny", "*", "*")
    anywhere = ["0.0.0.0/0"]
    assert opened(run(ONE)) == [("Allow", "22", ["192.0.2.7/32"]), ("Allow", "8443", anywhere), closed]
    assert opened(run(CACHE))[1] == ("Allow", "8443", ["198.51.100.0/24"])
    assert opened(run(THREE)) == [
        ("Allow", "22", ["192.0.2.7/32"]),
        ("Allow", "8443", anywhere),
        ("Allow", "8443", "AzureLoadBalancer"),
        closed,
    ]


def test_nothing_connects_before_the_rules_stand(run: Run) -> None:
    graph = run(ONE)
    (host,), (server,), (interface,) = graph.of("slipway:index:Host"), graph.of(VM), graph.of(INTERFACE)
    assert server.key in host.dependencies
    assert interface.key in server.dependencies
    assert "azure-native:network:Subnet::slipway-test" in interface.dependencies


def test_a_server_alone_has_an_address_that_stays(run: Run) -> None:
    graph = run(ONE)
    address, interface = one_of(graph, ADDRESS), one_of(graph, INTERFACE)
    assert (address.inputs["publicIPAllocationMethod"], address.inputs["sku"]) == ("Static", {"name": "Standard"})
    assert interface.inputs["ipConfigurations"][0]["publicIPAddress"]["id"].split("/")[-1].startswith("test-0")
    assert interface.inputs["enableAcceleratedNetworking"] is True
    (host,) = graph.of("slipway:index:Host")
    assert host.inputs["connection"]["port"] == 22
    assert not graph.of(BALANCER)


def test_servers_behind_a_load_balancer_have_no_address_outside(run: Run) -> None:
    graph = run(THREE)
    (address,) = graph.of(ADDRESS)
    balancer = one_of(graph, BALANCER).inputs
    (front,) = balancer["frontendIPConfigurations"]
    assert front["publicIPAddress"]["id"].split("/")[-1].startswith(address.name)
    for interface in graph.of(INTERFACE):
        (joined,) = interface.inputs["ipConfigurations"]
        assert "publicIPAddress" not in joined
        pools = [pool["id"].partition("/loadBalancers/slipway-test/")[2] for pool in joined[POOLS]]
        own = interface.name.replace("test-", "server-")
        assert pools == ["backendAddressPools/servers", f"backendAddressPools/{own}"]
    assert balancer["outboundRules"][0]["allocatedOutboundPorts"] == 1024
    hundred = one_of(run(HUNDRED, preview=True), BALANCER).inputs
    # 64000 for all, less a step of 8 for the clients' port, and 14 for 112 of SSH.
    assert hundred["outboundRules"][0]["allocatedOutboundPorts"] == 632


def test_ssh_comes_through_the_load_balancer_at_a_port_for_each(run: Run) -> None:
    graph = run(THREE)
    rules = one_of(graph, BALANCER).inputs["inboundNatRules"]
    hosts = graph.of("slipway:index:Host")
    assert [host.inputs["connection"]["port"] for host in hosts] == [50000, 50001, 50002]
    for index, rule in enumerate(rules):
        assert rule["backendAddressPool"]["id"].endswith(f"/backendAddressPools/server-{index}")
        ports = rule["frontendPortRangeStart"], rule["frontendPortRangeEnd"], rule["backendPort"]
        assert ports == (50000 + index, 50000 + index, 22)
    assert len(rules) == 16, "a server less is no change"


def test_parts_of_a_load_balancer_name_each_other(run: Run) -> None:
    balancer = one_of(run(THREE), BALANCER).inputs
    own = {
        f"/{kind}/{part['name']}"
        for kind in ("frontendIPConfigurations", "backendAddressPools", "probes")
        for part in balancer[kind]
    }
    (rule,) = balancer["loadBalancingRules"]
    named = [rule["frontendIPConfiguration"], rule["backendAddressPool"], rule["probe"]]
    (out,) = balancer["outboundRules"]
    named += [*out["frontendIPConfigurations"], out["backendAddressPool"]]
    for rule in balancer["inboundNatRules"]:
        named += [rule["frontendIPConfiguration"], rule["backendAddressPool"]]
    for part in named:
        base, _, rest = part["id"].partition("/loadBalancers/slipway-test")
        assert base.endswith("/providers/Microsoft.Network")
        assert rest in own


def test_a_load_balancer_asks_ready_and_has_the_times_of_the_plan(run: Run) -> None:
    graph = run(THREE)
    balancer = one_of(graph, BALANCER).inputs
    (check,), (rule,) = balancer["probes"], balancer["loadBalancingRules"]
    assert (check["protocol"], check["port"], check["requestPath"]) == ("Https", 8443, "/ready")
    assert (check["intervalInSeconds"], check["probeThreshold"]) == (5, 2)
    assert rule["idleTimeoutInMinutes"] == 6, "5 m of silence, 15 s in the queue, 5 s for the connection"
    assert (rule["enableTcpReset"], rule["disableOutboundSnat"]) == (True, True)
    services = graph.of("slipway:index:Service")
    assert {service.inputs["desired"]["drain"]["settle"] for service in services} == {15}


def test_clients_use_the_name_where_there_is_one(run: Run) -> None:
    name = "our-models.eastus.cloudapp.azure.com"
    for text, address in ((THREE, "slipway-test"), (CACHE, "test-0")):
        graph = run(text)
        assert one_of(graph, ADDRESS).name == address
        assert graph.outputs["endpoint"] == f"https://{name}:8443/v1"
        assert graph.outputs["endpoints"] == [graph.outputs["endpoint"]]
        for certificate in graph.of("slipway:index:Certificate"):
            assert name in certificate.inputs["names"]
    assert "dnsSettings" not in one_of(run(ONE), ADDRESS).inputs


def test_outputs_say_what_each_host_is_and_costs(run: Run) -> None:
    (host,) = run(ONE).outputs["hosts"]
    assert (host["zone"], host["price"]) == ("eastus", round(0.384 * 0.8789, 4)), "dollars of offers.toml, in euro"
    elsewhere = run(ONE.replace("eastus", "swedencentral")).outputs
    assert (elsewhere["hosts"][0]["price"], elsewhere["monthly_cost"]) == (None, None), "prices differ by region"


def test_the_disk_for_weights_outlives_a_server(run: Run) -> None:
    graph = run(CACHE)
    disk, server = one_of(graph, "azure-native:compute:Disk"), one_of(graph, VM)
    assert disk.options["retain_on_delete"] is True
    assert one_of(graph, "azure-native:resources:ResourceGroup").options["retain_on_delete"] is True
    assert (disk.inputs["diskSizeGB"], disk.inputs["zones"]) == (94, ["2"]), "Azure counts in GiB"
    assert disk.inputs["networkAccessPolicy"] == "DenyAll"
    assert server.options["delete_before_replace"] is True
    (attached,) = server.inputs["storageProfile"]["dataDisks"]
    assert (attached["createOption"], attached["deleteOption"]) == ("Attach", "Detach")
    script = cloud_config(user_data(server))["bootcmd"][0][-1]
    assert f"blkid -p /dev/disk/azure/scsi1/lun{attached['lun']} " in script
    assert "retain_on_delete" not in one_of(run(ONE), "azure-native:resources:ResourceGroup").options


def test_a_boot_disk_is_no_smaller_than_the_image(run: Run) -> None:
    assert one_of(run(ONE), VM).inputs["storageProfile"]["osDisk"]["diskSizeGB"] == 31, "20 GB would do"
    assert one_of(run(GPU), VM).inputs["storageProfile"]["osDisk"]["diskSizeGB"] == 112, "120 GB"


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        (
            "Debian:debian-12:12-gen2:0.20251112.2294",
            {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "0.20251112.2294"},
        ),
        (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/1.0.0",
            {"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/1.0.0"},
        ),
    ],
)
def test_an_image_is_one_version(run: Run, image: str, asked: dict[str, str]) -> None:
    text = ONE.replace("Debian:debian-12:12-gen2:0.20251112.2294", image)
    assert one_of(run(text), VM).inputs["storageProfile"]["imageReference"] == asked


def test_unsigned_drivers_may_be_loaded(run: Run) -> None:
    assert one_of(run(GPU), VM).inputs["securityProfile"] == {
        "securityType": "TrustedLaunch",
        "uefiSettings": {"secureBootEnabled": False, "vTpmEnabled": True},
    }
    without = run(ONE + "    trusted_launch: false\n")
    assert "securityProfile" not in one_of(without, VM).inputs


def test_the_last_servers_are_spot_and_stopped_with_all_they_have(run: Run) -> None:
    servers = run(THREE).of(VM)
    assert [server.inputs.get("priority") for server in servers] == [None, None, "Spot"]
    spot = servers[-1].inputs
    assert (spot["evictionPolicy"], spot["billingProfile"]) == ("Deallocate", {"maxPrice": -1})
    assert "availabilitySet" not in spot, "Azure takes no spot server into one"


def test_several_servers_are_kept_apart(run: Run) -> None:
    graph = run(THREE)
    apart = one_of(graph, APART)
    assert (apart.inputs["sku"], apart.inputs["platformFaultDomainCount"]) == ({"name": "Aligned"}, 2)
    for server in graph.of(VM)[:2]:
        assert apart.key in server.dependencies
    for text in (CACHE, ZONES, ONE + "    anti_affinity: none\n"):
        assert not run(text).of(APART)


def test_servers_take_the_zones_by_turns_and_fail_with_them(run: Run) -> None:
    graph = run(ZONES)
    assert [server.inputs["zones"] for server in graph.of(VM)] == [["1"], ["2"], ["3"], ["1"]]
    assert [host["zone"] for host in graph.outputs["hosts"]] == ["eastus-1", "eastus-2", "eastus-3", "eastus-1"]
    assert one_of(run(CACHE), VM).inputs["zones"] == ["2"]
    assert "zones" not in one_of(run(ONE), VM).inputs


def test_a_roll_out_finishes_one_zone_before_the_next(run: Run) -> None:
    gates = run(ZONES).of("slipway:index:Gate")
    assert [[one["name"] for one in gate.inputs["connections"]] for gate in gates] == [
        ["test-0"],
        ["test-3"],
        ["test-1"],
    ]


def test_only_a_host_that_is_renewed_takes_a_new_image_or_size(run: Run) -> None:
    kept = [
        "osProfile.customData",
        "storageProfile.imageReference",
        "storageProfile.osDisk.diskSizeGB",
        "hardwareProfile.vmSize",
        "availabilitySet",
    ]
    servers = run(THREE.replace("{count: 3}", "{count: 3, renew: [test-1]}")).of(VM)
    assert [server.options.get("ignore_changes") for server in servers] == [kept, None, kept]
    assert [server.options.get("replace_on_changes") for server in servers] == [None, kept, None]


def test_a_server_has_no_credentials_of_the_subscription(run: Run) -> None:
    graph = run(THREE)
    assert all("identity" not in server.inputs for server in graph.of(VM))
    assert not graph.of("azure-native:authorization:RoleAssignment")


def test_everything_is_made_in_the_subscription_that_is_named(run: Run) -> None:
    graph = run(THREE)
    (provider,) = graph.of("pulumi:providers:azure-native")
    assert (provider.inputs["subscriptionId"], provider.inputs["location"]) == (SUBSCRIPTION, "eastus")


def test_a_hundred_hosts_are_previewed(run: Run) -> None:
    graph = run(HUNDRED, preview=True)
    for kind in (VM, INTERFACE, "slipway:index:Host"):
        assert len(graph.of(kind)) == 100
    assert len(graph.of(ADDRESS)) == 1
    assert graph.outputs["endpoint"] == "[unknown]"


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = "    vm_args: {billing_profile: {max_price: 1}, storage_profile: {os_disk: {caching: ReadOnly}}}\n"
    server = one_of(run(ONE + more), VM)
    assert server.inputs["billingProfile"] == {"maxPrice": 1}, "a whole number is a number"
    assert server.inputs["storageProfile"]["osDisk"]["caching"] == "ReadOnly"
    assert server.inputs["storageProfile"]["osDisk"]["createOption"] == "FromImage"


def test_arguments_that_the_sdk_does_not_have_are_one_sentence(run: Run) -> None:
    more = (
        "    vm_args: {licence_type: x, storage_profile: {os_disk: {cachin: x}}, security_profile: {security_type: x}}"
    )
    assert refused(run, ONE + more) == (
        "slipway:azure.vm_args: licence_type: VirtualMachine has no such argument. Did you mean license_type?; "
        "storage_profile.os_disk.cachin: OSDisk has no such argument. Did you mean caching?; "
        "security_profile.security_type: this is none of TrustedLaunch, ConfidentialVM. "
        "Correct this, or take it out"
    )


def test_a_missing_sdk_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("stacks.providers.azure")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pulumi_azure_native", None)
    assert refused(run, ONE) == (
        "slipway:provider: the provider azure needs the package pulumi_azure_native, which is not installed. "
        "Run: pip install 'slipway[azure]'"
    )
