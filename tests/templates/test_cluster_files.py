"""The objects of a service in a cluster, compared with the reviewed ones, and what has to be true of all of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from slipway.gpu_layer import operator_values
from slipway.manifests import objects
from slipway.plan_types import Plan
from tests.support.golden import check_golden
from tests.templates.clusters import CASES, FILES, case, plan_of, rendered

OF_THE_CLUSTER = ("Namespace", "PriorityClass")
"""kinds that are in no namespace"""


def kinds(plan: Plan) -> dict[str, dict[str, Any]]:
    """One object of each kind; of several, the first that is rendered."""
    return {item["kind"]: item for item in reversed(objects(rendered(plan)))}


@pytest.fixture(scope="module", params=CASES)
def plan(request: pytest.FixtureRequest) -> Plan:
    return case(request.param)


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    files = {file.path: file.content for file in rendered(case(name))}
    check_golden(f"cluster/{name}", files, request.config.getoption("--update-golden"))


def templates(item: object) -> Iterator[dict[str, Any]]:
    """The pods in an object: whatever has containers, with its metadata."""
    if isinstance(item, dict):
        if "containers" in item.get("spec", ()):
            yield item
        for value in item.values():
            yield from templates(value)


def serving(plan: Plan) -> dict[str, Any]:
    """The pod that the Service finds."""
    found = objects(rendered(plan))
    (selector,) = [item["spec"]["selector"] for item in found if item["kind"] == "Service"]
    every = [pod for item in found for pod in templates(item)]
    (pod,) = [pod for pod in every if selector.items() <= pod["metadata"]["labels"].items()]
    return pod


def pod(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = serving(plan)["spec"]
    return found


def own(plan: Plan) -> list[dict[str, Any]]:
    """What is in the namespace that serves."""
    assert plan.cluster is not None
    found = objects(rendered(plan))
    return [item for item in found if item["metadata"].get("namespace") == plan.cluster.namespace]


def pods(plan: Plan) -> list[dict[str, Any]]:
    return [pod["spec"] for item in own(plan) for pod in templates(item)]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", ()), *spec["containers"]]


def test_every_container_is_locked_down(plan: Plan) -> None:
    for spec in pods(plan):
        for container in containers(spec):
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert "requests" in container["resources"]
            assert "@sha256:" in container["image"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True


def test_every_volume_is_there_and_mounted(plan: Plan) -> None:
    for spec in pods(plan):
        volumes = [volume["name"] for volume in spec.get("volumes", ())]
        mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", ())}
        assert len(set(volumes)) == len(volumes)
        assert set(volumes) == mounted


def test_every_pod_has_a_policy_and_a_priority_of_the_stack(plan: Plan) -> None:
    classes = {item["metadata"]["name"] for item in objects(rendered(plan)) if item["kind"] == "PriorityClass"}
    found = own(plan)
    wanted = [item["spec"]["podSelector"] for item in found if item["kind"] == "NetworkPolicy"]
    for template in (pod for item in found for pod in templates(item)):
        assert template["spec"]["priorityClassName"] in classes
        labels = template["metadata"]["labels"].items()
        fetches = "model" in [one["name"] for one in containers(template["spec"])]
        mine = [one for one in wanted if "matchLabels" in one and one["matchLabels"].items() <= labels]
        assert bool(mine) == fetches, "what fetches nothing is under the policy that denies all"
    assert {} in wanted


def test_objects_are_of_one_namespace_and_have_their_own_names(plan: Plan) -> None:
    assert plan.cluster is not None
    found, gpu = objects(rendered(plan)), plan.cluster.gpu
    for item in found:
        if item["kind"] not in OF_THE_CLUSTER:
            assert item["metadata"]["namespace"] in (plan.cluster.namespace, gpu.namespace if gpu else None)
    names = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in found]
    assert len(set(names)) == len(names)


def test_selectors_find_the_pods(plan: Plan) -> None:
    labels = serving(plan)["metadata"]["labels"].items()
    wanted = [item for item in own(plan) if item["kind"] in ("Deployment", "PodMonitor", "PodDisruptionBudget")]
    wanted = [item for item in wanted if "matchExpressions" not in item["spec"]["selector"]]
    wanted = [item for item in wanted if item["metadata"]["name"] == "prod"]
    selectors = [item["spec"]["selector"]["matchLabels"] for item in wanted]
    for selector in selectors:
        assert selector.items() <= labels


def test_the_times_to_end_add_up(plan: Plan) -> None:
    """A hook that is longer than the grace is cut off with the streams that it waits for."""
    assert plan.cluster is not None
    times = plan.cluster.pod
    left = times.grace_seconds - times.settle_seconds - times.drain_seconds
    assert left >= plan.engine.stop_seconds
    argv = plan.engine.argv
    if "--shutdown-timeout" in argv:
        assert int(argv[argv.index("--shutdown-timeout") + 1]) <= plan.engine.stop_seconds


def test_an_engine_gets_its_deadline_to_start_and_is_not_killed_while_it_works(plan: Plan) -> None:
    (engine,) = pod(plan)["containers"]
    start, live = engine["startupProbe"], engine["livenessProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= plan.gate.start_deadline + plan.gate.health_deadline
    assert live["periodSeconds"] * live["failureThreshold"] >= plan.proxy.stream_seconds


def test_gpus_are_asked_for_as_the_engine_uses_them(plan: Plan) -> None:
    (engine,) = pod(plan)["containers"]
    asked = engine["resources"].get("limits", {}).get("nvidia.com/gpu", 0)
    assert asked == plan.engine.gpus_per_replica
    assert ("tolerations" in pod(plan)) == (asked > 0)


def test_text_of_a_stack_file_stays_text() -> None:
    plan = case("cpu")
    nasty = 'a": b\n- {x: y} # $(id) {{ 7 * 7 }} \\ \u2028 é'
    changed = replace(plan, engine=replace(plan.engine, argv=(nasty,), env={"NASTY": nasty}))
    (engine,) = pod(changed)["containers"]
    assert engine["args"] == [nasty]
    assert {"name": "NASTY", "value": nasty} in engine["env"]


def test_a_changed_configuration_is_another_config_map() -> None:
    plan = case("cpu")
    changed = replace(plan, proxy=replace(plan.proxy, queue=99))
    assert kinds(plan)["ConfigMap"]["metadata"]["name"] != kinds(changed)["ConfigMap"]["metadata"]["name"]
    assert kinds(plan)["ConfigMap"]["immutable"] is True


@pytest.mark.parametrize(("script", "shell"), [("fetch.sh", "sh"), ("drain.sh", "bash"), ("follow.sh", "bash")])
def test_scripts_pass_shellcheck(script: str, shell: str) -> None:
    text = kinds(case("multi-node"))["ConfigMap"]["data"][script]
    subprocess.run(["shellcheck", f"--shell={shell}", "-"], input=text, text=True, check=True)


def test_one_pod_has_no_budget_that_would_hold_its_node() -> None:
    plan = case("cpu")
    assert plan.cluster is not None
    alone = replace(plan, cluster=replace(plan.cluster, replicas=1))
    assert "PodDisruptionBudget" in kinds(plan)
    assert "PodDisruptionBudget" not in kinds(alone)


def test_pods_that_are_kept_apart_leave_a_node_to_change_with() -> None:
    plan = case("embedding")
    (term,) = pod(plan)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = kinds(plan)["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()
    assert kinds(plan)["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == "25%"
    text = (FILES / "embedding.yaml").read_text().replace("replicas: 2", "replicas: 3")
    assert kinds(plan_of(text))["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_pods_that_serve_displace_nobody_who_said_nothing(plan: Plan) -> None:
    found = [item for item in objects(rendered(plan)) if item["kind"] == "PriorityClass"]
    values = {item["metadata"]["name"]: item["value"] for item in found}
    mine = pod(plan)["priorityClassName"]
    assert values.pop(mine) == 0
    assert all(value < 0 for value in values.values()), "they give way to pods that serve"


def test_nodes_of_a_replica_differ_in_what_they_serve_only() -> None:
    plan = case("multi-node")
    group = kinds(plan)["LeaderWorkerSet"]["spec"]["leaderWorkerTemplate"]
    assert group["size"] == 2
    (first,) = group["leaderTemplate"]["spec"]["containers"]
    (other,) = group["workerTemplate"]["spec"]["containers"]
    assert other["args"] == [*first["args"], "--headless"]
    assert (other["env"], other["resources"]) == (first["env"], first["resources"])
    at = first["args"].index
    assert first["args"][at("--node-rank") + 1] == "$(LWS_WORKER_INDEX)"
    assert first["args"][at("--master-addr") + 1] == "$(LWS_LEADER_ADDRESS)"
    assert first["args"][at("--pipeline-parallel-size") + 1] == "2"


def test_the_controller_of_groups_gets_a_name_for_its_own_service() -> None:
    found = kinds(case("multi-node"))
    assert found["LeaderWorkerSet"]["metadata"]["name"] != found["Service"]["metadata"]["name"]
    target = found["ScaledObject"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("LeaderWorkerSet", found["LeaderWorkerSet"]["metadata"]["name"])


def gpu_pods(plan: Plan) -> dict[str, dict[str, Any]]:
    found = [item for item in objects(rendered(plan)) if item["kind"] == "DaemonSet"]
    return {item["metadata"]["name"]: item["spec"]["template"] for item in found}


@pytest.mark.parametrize("name", ["eight-gpus", "shared-gpus"])
def test_what_sees_the_devices_of_a_node_sees_nothing_else_of_it(name: str) -> None:
    found = gpu_pods(case(name))
    assert set(found) == {"device-plugin", "dcgm-exporter"}
    for template in found.values():
        spec = template["spec"]
        (container,) = spec["containers"]
        paths = [volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume]
        assert [path.startswith("/var/lib/kubelet/") for path in paths] == [True]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert spec["automountServiceAccountToken"] is False
        assert "@sha256:" in container["image"]


def test_turns_on_a_gpu_are_counted_by_plugin_and_plan_alike() -> None:
    plan = case("shared-gpus")
    (config,) = [item for item in objects(rendered(plan)) if item["metadata"]["name"] == "slipway-prod-gpu-sharing"]
    sharing = yaml.safe_load(config["data"]["slipway"])["sharing"]["timeSlicing"]["resources"]
    assert sharing == [{"name": "nvidia.com/gpu", "replicas": 4}]
    assert plan.cluster is not None
    assert (plan.cluster.replicas, plan.cluster.pod.surge) == (8, False)


def test_to_look_at_slices_takes_a_capability() -> None:
    plan = case("shared-gpus")
    assert plan.cluster is not None
    assert plan.cluster.gpu is not None
    cut = replace(plan, cluster=replace(plan.cluster, gpu=replace(plan.cluster.gpu, mig="1g.10gb")))
    (plugin,) = gpu_pods(cut)["device-plugin"]["spec"]["containers"]
    assert plugin["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    assert {"name": "MIG_STRATEGY", "value": "single"} in plugin["env"]


def test_an_operator_installs_the_driver_of_the_release_where_the_image_has_none() -> None:
    plan = case("operator")
    assert plan.cluster is not None
    layer = plan.cluster.gpu
    assert layer is not None
    assert layer.operator is not None
    values = operator_values(layer, layer.operator, "monitoring")
    assert values["driver"] == {"enabled": True, "version": "580.159.03", "kernelModuleType": "open"}
    assert values["toolkit"]["enabled"] is True
    assert values["dcgmExporter"]["serviceMonitor"] == {"enabled": True}
    there = operator_values(layer, replace(layer.operator, driver=None), None)
    assert (there["driver"], there["toolkit"]["enabled"]) == ({"enabled": False}, False)
    assert there["toolkit"]["env"] == values["toolkit"]["env"]


def test_a_batch_that_cannot_be_changed_has_what_it_is_made_from_in_its_name() -> None:
    plan = case("batch")
    assert plan.cluster is not None
    assert plan.cluster.batch is not None
    once = replace(plan, cluster=replace(plan.cluster, batch=replace(plan.cluster.batch, cron=None)))
    other = replace(once, engine=replace(once.engine, argv=(*once.engine.argv, "--seed", "7")))
    assert kinds(once)["Job"]["metadata"]["name"] != kinds(other)["Job"]["metadata"]["name"]
    assert kinds(once)["Job"]["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert kinds(plan)["CronJob"]["metadata"]["name"] == "prod-batch"


def test_the_service_does_not_find_a_batch_and_its_engine_ends_with_it() -> None:
    job = kinds(case("batch"))["CronJob"]["spec"]["jobTemplate"]["spec"]
    assert job["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "slipway-batch"
    spec = job["template"]["spec"]
    (engine,) = [one for one in spec["initContainers"] if one["name"] == "engine"]
    assert (engine["restartPolicy"], spec["restartPolicy"]) == ("Always", "Never")
    assert job["podFailurePolicy"]["rules"][0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_the_first_pod_of_a_claim_fetches_the_model() -> None:
    plan = case("two-gpus")
    found = kinds(plan)
    assert "huggingface.co" in found["ConfigMap"]["data"]["fetch.curl"]
    (policy,) = [one for one in own(plan) if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "prod"]
    assert {"port": 443, "protocol": "TCP"} in policy["spec"]["egress"][1]["ports"]
    local = replace(plan, model=plan.model.model_copy(update={"source": "file:///models/model.safetensors"}))
    assert "fetch.curl" not in kinds(local)["ConfigMap"]["data"]


def test_a_spare_pod_asks_for_what_one_that_serves_does_and_gives_way_at_once() -> None:
    plan = case("warm")
    (spare,) = [one for one in own(plan) if one["metadata"]["name"] == "prod-spare"]
    (place,) = spare["spec"]["template"]["spec"]["containers"]
    (engine,) = pod(plan)["containers"]
    assert place["resources"] == engine["resources"]
    assert spare["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 0
    values = {
        one["metadata"]["name"]: one["value"] for one in objects(rendered(plan)) if one["kind"] == "PriorityClass"
    }
    assert values == {"slipway-prod-serving": 0, "slipway-prod-spare": -10}


def test_every_image_of_a_pod_that_serves_is_put_on_nodes_ahead() -> None:
    plan = case("warm")
    (ahead,) = [one["spec"]["template"]["spec"] for one in own(plan) if one["kind"] == "DaemonSet"]
    images = {one["image"] for one in containers(ahead)}
    assert images == {one["image"] for one in containers(pod(plan))}
    assert not [one for one in containers(ahead) if "nvidia.com/gpu" in one["resources"].get("limits", {})]


def test_the_clock_adds_pods_beside_those_that_wait_for_room() -> None:
    scaler = kinds(case("warm"))["ScaledObject"]["spec"]
    assert [trigger["type"] for trigger in scaler["triggers"]] == ["prometheus", "cron"]
    assert scaler["triggers"][1]["metadata"] == {
        "timezone": "Europe/Helsinki", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "desiredReplicas": "3",
    }  # fmt: skip


def test_an_ingress_of_nginx_speaks_tls_to_pods_that_it_knows_and_waits_as_long_as_they() -> None:
    plan = case("ingress")
    ingress = kinds(plan)["Ingress"]
    words = {key.rsplit("/", 1)[-1]: value for key, value in ingress["metadata"]["annotations"].items()}
    assert (words["backend-protocol"], words["proxy-ssl-verify"]) == ("HTTPS", "on")
    assert words["proxy-ssl-secret"] == "slipway-prod/prod-ca"
    assert int(words["proxy-read-timeout"]) >= plan.proxy.queue_seconds + plan.proxy.stream_seconds
    assert words["cluster-issuer"] == "letsencrypt"
    assert ingress["spec"]["tls"] == [{"hosts": ["models.example"], "secretName": "prod-ingress"}]
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["port"]["name"] in [port["name"] for port in kinds(plan)["Service"]["spec"]["ports"]]


def test_the_dashboard_shows_what_the_proxies_and_this_engine_count() -> None:
    plan = case("one-gpu")
    (found,) = [one for one in own(plan) if one["metadata"]["name"] == "prod-dashboard"]
    board = json.loads(found["data"]["slipway-prod.json"])
    queries = " ".join(panel["targets"][0]["expr"] for panel in board["panels"])
    for metric in ("haproxy_backend_current_queue", *(plan.engine.metrics[name] for name in ("running", "kv_cache"))):
        assert metric in queries
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)


def test_a_scaler_asks_for_what_the_engine_calls_its_figures() -> None:
    plan = case("one-gpu")
    _, kv, first = kinds(plan)["ScaledObject"]["spec"]["triggers"]
    assert (kv["metricType"], kv["metadata"]["threshold"]) == ("Value", "0.8")
    assert plan.engine.metrics["kv_cache"] in kv["metadata"]["query"]
    assert f"{plan.engine.metrics['first_token']}_bucket" in first["metadata"]["query"]
