"""The root program of a stack that serves in a cluster, under Pulumi's mocks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from stacks.cluster import SECRETS
from tests.stacks.conftest import Run
from tests.support.golden import check_golden
from tests.support.mocks import Graph, in_clear

CLUSTERS = Path(__file__).parents[1] / "templates" / "cluster"
STACK = (CLUSTERS / "cpu.yaml").read_text()
SEVERAL_NODES = (CLUSTERS / "multi-node.yaml").read_text()
WATCHED = """\
    scaling: {min: 2, max: 4, prometheus: "http://prometheus.monitoring:9090"}
    gateway: {name: public, hostname: models.example}
    monitoring: monitoring
"""


def refusal(run: Run, stack: str) -> str:
    graph = Graph()
    with pytest.raises(SystemExit) as left:
        run(stack, graph=graph)
    assert left.value.code == 32
    assert not graph.of("kubernetes:core/v1:Namespace")
    return graph.log[-1]


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize(("name", "more"), [("cpu", ""), ("watched", WATCHED)])
def test_golden(run: Run, name: str, more: str, request: pytest.FixtureRequest) -> None:
    graph = run(STACK + more)
    check_golden(f"stacks/cluster-{name}", {"graph.yaml": graph.text()}, request.config.getoption("--update-golden"))


@pytest.mark.usefixtures("kubeconfig")
def test_no_secret_is_in_clear(run: Run) -> None:
    graph = run(STACK + WATCHED)
    for asked in graph.resources:
        assert not [text for text in in_clear(asked.inputs) if "SECRET" in text], asked.key
    assert graph.secret_outputs == {"api_key", "kubeconfig"}


@pytest.mark.usefixtures("kubeconfig")
def test_pods_wait_for_all_that_they_mount(run: Run) -> None:
    graph = run(STACK)
    (deployment,) = graph.of("kubernetes:apps/v1:Deployment")
    waits = {name.rsplit("::", 1)[-1] for name in deployment.dependencies}
    assert {"Secret/test-keys", "Secret/test-tls", "ServiceAccount/test", "NetworkPolicy/deny-all"} <= waits
    annotations = deployment.inputs["spec"]["template"]["metadata"]["annotations"]
    assert len(annotations["slipway.dev/secrets"]) == 16


@pytest.mark.usefixtures("kubeconfig")
def test_a_scaler_and_pulumi_do_not_fight_over_the_number_of_pods(run: Run) -> None:
    (deployment,) = run(STACK + WATCHED).of("kubernetes:apps/v1:Deployment")
    assert "replicas" not in deployment.inputs["spec"]
    assert deployment.options["ignore_changes"] == ["spec.replicas"]


@pytest.mark.usefixtures("kubeconfig")
def test_credentials_of_a_private_model_are_in_a_secret_only(run: Run) -> None:
    private = STACK + "  slipway:model_token: {secure: hf_SECRET0123456789}\n"
    graph = run(private)
    (secret,) = [one for one in graph.of("kubernetes:core/v1:Secret") if one.name == "Secret/test-model"]
    assert "Authorization: Bearer" in str(secret.inputs["stringData"]["[secret]"]["curl"])
    for asked in graph.resources:
        assert not [text for text in in_clear(asked.inputs) if "hf_SECRET" in text], asked.key


@pytest.mark.usefixtures("kubeconfig")
def test_a_context_is_never_guessed(run: Run) -> None:
    said = refusal(run, STACK.replace("context: prod", "context: production"))
    assert "has no context 'production'. Write one of: staging, prod" in said


@pytest.mark.parametrize("text", ["[", "- a", "contexts: [{}]", "contexts: 3"])
def test_what_is_no_kubeconfig_is_one_sentence(run: Run, kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text)
    assert "is no kubeconfig. Write the path of a kubeconfig" in refusal(run, STACK)


def test_a_kubeconfig_that_is_not_there_is_one_sentence(run: Run, kubeconfig: Path) -> None:
    kubeconfig.unlink()
    assert "cannot be read: No such file or directory. Write its path, or set KUBECONFIG" in refusal(run, STACK)


@pytest.mark.usefixtures("kubeconfig")
def test_a_replica_of_several_nodes_is_made_after_all_that_it_mounts_and_before_its_scaler(run: Run) -> None:
    graph = run(SEVERAL_NODES)
    group = next(one for one in graph.resources if one.name == "LeaderWorkerSet/test-group")
    assert not graph.of("kubernetes:apps/v1:Deployment")
    waits = {name.rsplit("::", 1)[-1] for name in group.dependencies}
    assert {"Secret/test-keys", "Secret/test-tls", "NetworkPolicy/test-group"} <= waits
    assert group.options["ignore_changes"] == ["spec.replicas"]
    assert group.inputs["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Available"
    for template in ("leaderTemplate", "workerTemplate"):
        assert len(group.inputs["spec"]["leaderWorkerTemplate"][template]["metadata"]["annotations"][SECRETS]) == 16
    scaler = next(one for one in graph.resources if one.name == "ScaledObject/test")
    assert [name for name in scaler.dependencies if name.endswith("LeaderWorkerSet/test-group")]


def with_chart(chart: Path, sha256: str) -> str:
    operator = f"operator: {{chart: {chart}, sha256: '{sha256}', "
    return (CLUSTERS / "operator.yaml").read_text().replace("operator: {", operator, 1)


@pytest.mark.usefixtures("kubeconfig")
def test_the_operator_is_installed_from_the_chart_that_is_pinned(run: Run, tmp_path: Path) -> None:
    chart = tmp_path / "gpu-operator.tgz"
    chart.write_bytes(b"a chart")
    graph = run(with_chart(chart, hashlib.sha256(b"a chart").hexdigest()))
    (release,) = graph.of("kubernetes:helm.sh/v3:Release")
    assert (release.inputs["namespace"], release.inputs["chart"]) == ("slipway-test-gpu", str(chart))
    assert release.inputs["values"]["driver"]["version"] == "580.159.03"
    said = refusal(run, with_chart(chart, "0" * 64))
    assert f"the chart {chart} is another one: its SHA-256 is {hashlib.sha256(b'a chart').hexdigest()}" in said
    chart.unlink()
    assert f"the chart {chart} cannot be read: No such file" in refusal(run, with_chart(chart, "0" * 64))


@pytest.mark.usefixtures("kubeconfig")
def test_whoever_installs_the_operator_elsewhere_is_not_given_a_second_one(run: Run) -> None:
    assert not run((CLUSTERS / "operator.yaml").read_text()).of("kubernetes:helm.sh/v3:Release")


@pytest.mark.usefixtures("kubeconfig")
def test_an_ingress_is_told_whom_to_believe_and_clients_its_name(run: Run) -> None:
    graph = run((CLUSTERS / "ingress.yaml").read_text())
    (authority,) = [one for one in graph.of("kubernetes:core/v1:Secret") if one.name == "Secret/test-ca"]
    assert set(authority.inputs["stringData"]["[secret]"]) == {"ca.crt"}
    assert graph.of("kubernetes:networking.k8s.io/v1:Ingress")
    assert "https://models.example/v1" in graph.text()
