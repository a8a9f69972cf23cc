"""Flags of a replica that is spread over several nodes: tensor parallel in each, pipeline parallel across them.

LeaderWorkerSet tells each container which node it is and where the first one is; the kubelet puts the variables into
arguments: https://lws.sigs.k8s.io/docs/reference/labels-annotations-and-environment-variables/ and
https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
"""

from __future__ import annotations

from slipway.settings import Settings

LEADER, INDEX = "$(LWS_LEADER_ADDRESS)", "$(LWS_WORKER_INDEX)"
MEETING_PORT = 29501
"""where the nodes of a replica find each other; vLLM's own default"""


def vllm_flags(settings: Settings) -> tuple[str, ...]:
    """Without Ray, which vLLM's image lost with 0.18: https://docs.vllm.ai/en/stable/serving/parallelism_scaling/"""
    nodes = str(settings.cluster.nodes_per_replica)
    if nodes == "1":
        return ()
    return (
        *("--pipeline-parallel-size", nodes),
        *("--nnodes", nodes, "--node-rank", INDEX),
        *("--master-addr", LEADER, "--master-port", str(MEETING_PORT)),
    )


def sglang_flags(settings: Settings) -> tuple[str, ...]:
    """https://docs.sglang.io/references/multi_node_deployment/multi_node.html"""
    nodes = str(settings.cluster.nodes_per_replica)
    if nodes == "1":
        return ()
    return (
        *("--pp-size", nodes, "--nnodes", nodes, "--node-rank", INDEX),
        *("--dist-init-addr", f"{LEADER}:{MEETING_PORT}"),
    )
