"""Google Cloud's servers, as the root program asks for them under Pulumi's mocks, against the SDK's own types.

The provider's binary and the cloud are not here: that the cloud does with these resources what they say is not tested.
"""

from __future__ import annotations

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
from tests.support.mocks import Graph
from tests.support.sdk import wrong_arguments

ONE = """\
config:
  slipway:provider: gcp
  slipway:release: local-2026.11
  slipway:model: {name: smollm2-135m-instruct, context: 2048}
  slipway:gcp:
    project: my-project
    zone: europe-west4-a
    machine_type: t2d-standard-8
    image: projects/my-project/global/images/debian-12-with-cloud-init-20261110
    ssh_from: [192.0.2.7]
"""
CACHE = (
    ONE + "    cache: 100GB\n    cache_retain: true\n    clients_from: [198.51.100.0/24]\n    labels: {team: models}\n"
)
THREE = ONE + "    spot: 1\n  slipway:hosts: {count: 3}\n  slipway:engine: {replicas: 2}\n"
HUNDRED = ONE + "  slipway:hosts: {count: 100}\n"
GPU = (
    ONE.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("{name: smollm2-135m-instruct, context: 2048}", "OWN")
    .replace("OWN", f'{{name: own, source: "https://m.example/own", sha256: {"a" * 64}, size: 16GB, context: 2048}}')
    .replace("t2d-standard-8", "g2-standard-8")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)
N1 = GPU.replace("g2-standard-8", "n1-standard-8").replace(
    "    ssh_from", "    accelerator: nvidia-tesla-t4\n    ssh_from"
)
WEIGHTS = (
    ONE.replace(
        "{name: smollm2-135m-instruct, context: 2048}",
        f'{{name: own, source: "s3://our-models/own.gguf", sha256: {"a" * 64}, size: 1GB, context: 2048}}',
    )
    + "  slipway:weights: {bucket: our-models}\n"
)

STACKS = {"one": ONE, "cache": CACHE, "three": THREE, "gpu": GPU, "n1": N1, "weights": WEIGHTS}

INSTANCE, FIREWALL = "gcp:compute/instance:Instance", "gcp:compute/firewall:Firewall"


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = only(run(STACKS[name]), "gcp").text()
    check_golden(f"stacks/gcp-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "gcp") == {}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, name: str, preview: bool) -> None:
    graph = run(STACKS[name], preview=preview)
    assert_no_secret_in_clear(graph)
    for server in graph.of(INSTANCE):
        assert list(server.inputs["metadata"]["user-data"]) == ["[secret]"]
        assert "metadata" in server.options["secret_outputs"]


def test_a_server_is_born_with_the_key_that_the_connection_expects(run: Run) -> None:
    graph = run(THREE)
    for server in graph.of(INSTANCE):
        metadata = server.inputs["metadata"]
        assert_born_with_its_key(graph, server.name, metadata["user-data"]["[secret]"], "slipway")
        assert metadata["ssh-keys"] == "slipway:ssh-ed25519 STACK"
        config = cloud_config(metadata["user-data"]["[secret]"])
        assert config["hostname"] == server.name
        assert "set_host_keys = false" in config["write_files"][0]["content"], "the guest agent would make others"


def opened(graph: Graph) -> dict[str, tuple[set[str], list[str] | None]]:
    """Ports that are open: to where from, and at which addresses."""
    found = {}
    for rule in graph.of(FIREWALL):
        assert rule.inputs["direction"] == "INGRESS"
        assert next(server.inputs["tags"] for server in graph.of(INSTANCE)) == rule.inputs["targetTags"]
        (allowed,) = rule.inputs["allows"]
        (port,) = allowed["ports"]
        found[port] = (set(rule.inputs["sourceRanges"]), rule.inputs.get("destinationRanges"))
    return found


def test_only_what_the_plan_lists_is_open(run: Run) -> None:
    assert opened(run(ONE)) == {"22": ({"192.0.2.7/32"}, None), "8443": ({"0.0.0.0/0"}, None)}
    assert opened(run(CACHE))["8443"] == ({"198.51.100.0/24"}, None)


def test_behind_a_load_balancer_clients_reach_its_address_only(run: Run) -> None:
    graph = run(THREE)
    front = next(one for one in graph.of("gcp:compute/forwardingRule:ForwardingRule"))
    sources, destinations = opened(graph)["8443"]
    assert destinations == [front.inputs["ipAddress"]]
    assert "35.191.0.0/16" in sources, "health checks"
    assert graph.outputs["endpoint"] == f"https://{front.inputs['ipAddress']}:8443/v1"
    assert graph.outputs["endpoints"] == [graph.outputs["endpoint"]]
    for certificate in graph.of("slipway:index:Certificate"):
        assert front.inputs["ipAddress"] in certificate.inputs["names"]


def test_nothing_connects_before_the_firewall_stands(run: Run) -> None:
    for host in run(ONE).of("slipway:index:Host"):
        assert {f"{FIREWALL}::slipway-test-ssh", f"{FIREWALL}::slipway-test-clients"} <= set(host.dependencies)


def test_a_load_balancer_asks_ready_and_takes_every_server(run: Run) -> None:
    graph = run(THREE)
    check = one_of(graph, "gcp:compute/regionHealthCheck:RegionHealthCheck")
    assert check.inputs["httpsHealthCheck"] == {"port": 8443, "requestPath": "/ready"}
    group = one_of(graph, "gcp:compute/instanceGroup:InstanceGroup")
    assert [link.rsplit("/", 1)[-1][:6] for link in group.inputs["instances"]] == ["test-0", "test-1", "test-2"]
    services = graph.of("slipway:index:Service")
    assert {service.inputs["desired"]["drain"]["settle"] for service in services} == {15}
    assert not run(ONE).of("gcp:compute/forwardingRule:ForwardingRule")


def test_outputs_say_what_each_host_is_and_costs(run: Run) -> None:
    outputs = run(ONE).outputs
    (host,) = outputs["hosts"]
    assert (host["zone"], host["gpu"]) == ("europe-west4-a", "")
    assert host["price"] == round(0.37208 * 0.8789, 4), "dollars of offers.toml, in euro"
    elsewhere = run(ONE.replace("europe-west4-a", "us-central1-a")).outputs
    assert (elsewhere["hosts"][0]["price"], elsewhere["monthly_cost"]) == (None, None), "prices differ by region"


def test_the_disk_for_weights_outlives_a_server(run: Run) -> None:
    graph = run(CACHE)
    disk, server = one_of(graph, "gcp:compute/disk:Disk"), one_of(graph, INSTANCE)
    assert disk.options["retain_on_delete"] is True
    assert server.options["delete_before_replace"] is True
    assert server.inputs["bootDisk"]["initializeParams"]["size"] == 20, "no weights on it"
    (attached,) = server.inputs["attachedDisks"]
    script = cloud_config(server.inputs["metadata"]["user-data"]["[secret]"])["bootcmd"][0][-1]
    assert f"blkid -p /dev/disk/by-id/google-{attached['deviceName']} " in script


def test_a_machine_with_gpus_is_ended_for_maintenance_and_not_moved(run: Run) -> None:
    for text, moved in ((ONE, "MIGRATE"), (GPU, "TERMINATE"), (N1, "TERMINATE")):
        scheduling = one_of(run(text), INSTANCE).inputs["scheduling"]
        assert scheduling == {"automaticRestart": True, "onHostMaintenance": moved}


def test_a_gpu_is_added_where_the_machine_has_none(run: Run) -> None:
    assert one_of(run(N1), INSTANCE).inputs["guestAccelerators"] == [{"type": "nvidia-tesla-t4", "count": 1}]
    assert "guestAccelerators" not in one_of(run(GPU), INSTANCE).inputs


@pytest.mark.parametrize(
    ("machine", "disk"),
    [
        ("g2-standard-8", "pd-ssd"),
        ("g4-standard-48", "hyperdisk-balanced"),
        ("a3-highgpu-8g", "pd-ssd"),
        ("a3-ultragpu-8g", "hyperdisk-balanced"),
    ],
)
def test_a_disk_is_of_a_type_that_the_machine_takes(run: Run, machine: str, disk: str) -> None:
    """As spot, since Google starts not all of them on demand."""
    server = one_of(run(GPU.replace("g2-standard-8", f"{machine}\n    spot: 1")), INSTANCE)
    assert server.inputs["bootDisk"]["initializeParams"]["type"] == disk


def test_the_last_servers_are_spot_and_stopped_with_all_they_have(run: Run) -> None:
    kinds = [server.inputs["scheduling"].get("provisioningModel") for server in run(THREE).of(INSTANCE)]
    assert kinds == [None, None, "SPOT"]
    spot = run(THREE).of(INSTANCE)[-1].inputs
    assert (spot["scheduling"]["instanceTerminationAction"], spot["desiredStatus"]) == ("STOP", "RUNNING")


def test_several_servers_are_kept_apart(run: Run) -> None:
    graph = run(THREE)
    policy = one_of(graph, "gcp:compute/resourcePolicy:ResourcePolicy")
    assert policy.inputs["groupPlacementPolicy"] == {"availabilityDomainCount": 8}
    assert len({server.inputs["resourcePolicies"] for server in graph.of(INSTANCE)}) == 1
    for text in (ONE, THREE.replace("spot: 1", "anti_affinity: none")):
        assert not run(text).of("gcp:compute/resourcePolicy:ResourcePolicy")


def test_only_a_host_that_is_renewed_takes_a_new_image_or_type(run: Run) -> None:
    kept = ['metadata["user-data"]', "bootDisk.initializeParams.image", "machineType"]
    servers = run(THREE.replace("{count: 3}", "{count: 3, renew: [test-1]}")).of(INSTANCE)
    assert [server.options.get("ignore_changes") for server in servers] == [kept, None, kept]
    assert [server.inputs["allowStoppingForUpdate"] for server in servers] == [False, True, False]


def test_a_server_has_no_credentials_of_the_project(run: Run) -> None:
    assert all("serviceAccount" not in server.inputs for server in run(WEIGHTS).of(INSTANCE))


def test_keys_of_the_bucket_may_do_nothing_else(run: Run) -> None:
    graph = run(WEIGHTS)
    bucket = one_of(graph, "gcp:storage/bucket:Bucket")
    assert (bucket.inputs["location"], bucket.inputs["publicAccessPrevention"]) == ("EUROPE-WEST4", "enforced")
    assert bucket.options["retain_on_delete"] is True
    grants = graph.of("gcp:storage/bucketIAMMember:BucketIAMMember")
    assert {grant.name: grant.inputs["role"] for grant in grants} == {
        "weights-reader": "roles/storage.legacyObjectReader",
        "weights-writer": "roles/storage.objectUser",
    }
    for key in graph.of("gcp:storage/hmacKey:HmacKey"):
        assert "secret" in key.options["secret_outputs"]
        assert f"gcp:storage/bucketIAMMember:BucketIAMMember::{key.name}" in key.dependencies
    assert not graph.of("gcp:projects/iAMMember:IAMMember")


def test_a_hundred_hosts_are_previewed(run: Run) -> None:
    graph = run(HUNDRED, preview=True)
    for kind in (INSTANCE, "slipway:index:Host"):
        assert len(graph.of(kind)) == 100
    assert len(graph.of("gcp:compute/address:Address")) == 101
    assert graph.outputs["endpoint"] == "[unknown]"


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = (
        "    instance_args: {min_cpu_platform: AMD Milan, boot_disk: {initialize_params: {provisioned_iops: 9000}}}\n"
    )
    server = one_of(run(ONE + more), INSTANCE)
    assert server.inputs["minCpuPlatform"] == "AMD Milan"
    assert server.inputs["bootDisk"]["initializeParams"]["provisionedIops"] == 9000
    assert server.inputs["bootDisk"]["initializeParams"]["type"] == "pd-ssd"


def test_arguments_that_the_sdk_does_not_have_are_one_sentence(run: Run) -> None:
    more = "    instance_args: {min_cpu_plattform: x, scheduling: {on_host_maintenence: MIGRATE}}\n"
    assert refused(run, ONE + more) == (
        "slipway:gcp.instance_args: min_cpu_plattform: Instance has no such argument. Did you mean min_cpu_platform?; "
        "scheduling.on_host_maintenence: InstanceScheduling has no such argument. Did you mean on_host_maintenance?. "
        "Correct this, or take it out"
    )


def test_a_missing_sdk_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("stacks.providers.gcp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pulumi_gcp", None)
    assert refused(run, ONE) == (
        "slipway:provider: the provider gcp needs the package pulumi_gcp, which is not installed. "
        "Run: pip install 'slipway[gcp]'"
    )
