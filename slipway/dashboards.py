"""A dashboard of Grafana for the pods of a stack: what the proxies count, and what the engine says of itself."""

from __future__ import annotations

from typing import Any

from slipway.plan_types import ClusterPlan, Plan

WIDTH, HEIGHT = 12, 8
"""of a panel; Grafana's grid is 24 wide: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""

SOURCE = {"type": "prometheus", "uid": "${source}"}

ANSWERS = "haproxy_frontend_http_responses_total"

ENGINE = (
    ("running", "Requests that the engine runs", "short"),
    ("waiting", "Requests that wait in the engine", "short"),
    ("kv_cache", "KV cache in use", "percentunit"),
)
"""our names of figures, with title and unit"""


def dashboard(plan: Plan, cluster: ClusterPlan) -> dict[str, Any]:
    """In Grafana's own model of one. Whoever looks at it chooses the Prometheus."""
    api, engines = (f'namespace="{cluster.namespace}",proxy="{proxy}"' for proxy in ("api", "engines"))
    panels = [
        _panel(
            "Answers a second", "reqps", f"sum by (code) (rate(haproxy_frontend_http_responses_total{{{api}}}[5m]))"
        ),
        _panel("Requests that wait for a place", "short", f"sum by (pod) (haproxy_backend_current_queue{{{engines}}})"),
        _panel("Requests that have one", "short", f"sum by (pod) (haproxy_backend_current_sessions{{{engines}}})"),
        _panel("Mean time of a request", "s", f"haproxy_backend_total_time_average_seconds{{{engines}}}"),
        _panel("Pods whose engine answers", "short", f"sum(haproxy_backend_active_servers{{{engines}}})"),
    ]
    for name, title, unit in ENGINE:
        if name in plan.engine.metrics:
            metric = f'{{__name__="{plan.engine.metrics[name]}",namespace="{cluster.namespace}"}}'
            panels.append(_panel(title, unit, f"sum by (pod) ({metric})"))
    for index, panel in enumerate(panels):
        panel["id"] = index + 1
        panel["gridPos"] = {"x": index % 2 * WIDTH, "y": index // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT}
    return {
        "title": f"Slipway: {plan.model_name} ({cluster.namespace})",
        "uid": f"slipway-{cluster.name}"[:40],
        "tags": ["slipway"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": panels,
    }


def _panel(title: str, unit: str, query: str) -> dict[str, Any]:
    target = {"refId": "A", "expr": query, "datasource": SOURCE}
    defaults = {"unit": unit, "min": 0}
    return {
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "targets": [target],
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
