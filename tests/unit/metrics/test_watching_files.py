"""Dashboard, alert rules and docs/metrics.md name the metrics that the code has, and PromQL that Prometheus reads."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

from hub import metrics
from streams import gauges, rows
from streams.worker import ROLES

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/tambour.json").read_text(encoding="utf-8"))
YAML_FILE = YAML(typ="safe")
ALERTS: list[dict[str, Any]] = [
    rule
    for group in YAML_FILE.load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DOCUMENT = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")

NOT_OURS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
GIVEN_BY_PROMETHEUS = {"instance", "job"}
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def metrics_there_are() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name as Prometheus shows it (a histogram's without its suffixes), type and labels."""
    for module in (metrics, gauges):
        for one in vars(module).values():
            if isinstance(one, MetricWrapperBase):
                name = one._name + ("_total" if one._type == "counter" else "")
                yield name, str(one._type), tuple(one._labelnames)
    labels = {family.name: tuple(sorted({k for s in family.samples for k in s.labels})) for family in shown()}
    for family in shown():
        yield family.name, "gauge", labels[family.name]


def shown() -> list[Any]:
    return rows.Shown().describe()


THERE_ARE = {name: (kind, labels) for name, kind, labels in metrics_there_are()}
SERIES = {
    name.removesuffix("_total") + suffix: {*labels, *(("le",) if suffix == "_bucket" else ())}
    for name, (kind, labels) in THERE_ARE.items()
    for suffix in _SUFFIXES[kind]
}
"""Every series that Prometheus would have, with its labels."""


def expressions() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]


EXPRESSIONS = list(expressions())


def parts(expression: str) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), lambda part: found.append(part))
    return found


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    return [part for part in parts(expression) if isinstance(part, promql_parser.VectorSelector)]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_every_expression_parses_and_names_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    found = selectors(expression)
    assert found
    labels: set[str] = set(GIVEN_BY_PROMETHEUS)
    for one in found:
        assert one.name in SERIES or one.name in NOT_OURS, f"{where}: there is no {one.name}"
        own = SERIES.get(str(one.name), set()) | GIVEN_BY_PROMETHEUS
        assert {matcher.name for matcher in one.matchers.matchers} <= own, where
        labels |= own
    for part in parts(expression):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            assert set(part.modifier.labels) <= labels, where


def test_an_expression_of_a_metric_that_does_not_exist_is_noticed() -> None:
    (one,) = selectors("rate(tambour_no_such_total[5m])")
    assert one.name not in SERIES


def test_a_legend_shows_labels_that_there_are() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            found = selectors(target["expr"].replace("$__rate_interval", "5m"))
            labels = GIVEN_BY_PROMETHEUS.union(*(SERIES.get(str(one.name), ()) for one in found))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


def test_every_metric_is_on_the_dashboard() -> None:
    on_it = {str(one.name) for _, expression in EXPRESSIONS for one in selectors(expression)}
    missing = [
        name
        for name, (kind, _) in THERE_ARE.items()
        if not any(series in on_it for series in (name, *(name + suffix for suffix in _SUFFIXES[kind])))
    ]
    assert missing == []


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_how_bad_it_is_what_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m")), rule["alert"]


def test_every_role_is_missed_when_nobody_plays_it() -> None:
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "TambourRoleMissing")
    assert set(re.findall(r'role="([a-z-]+)"', rule["expr"])) == set(ROLES)


def test_document_lists_every_metric_with_its_type_and_labels() -> None:
    listed = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(tambour_\w+)` \| (\w+) \| (.*?) \|", DOCUMENT, re.MULTILINE)
    }
    assert listed == {name: (kind, labels) for name, (kind, labels) in THERE_ARE.items()}


def test_document_lists_every_alert_with_its_severity() -> None:
    listed = dict(re.findall(r"^\| `(Tambour\w+)` \| (\w+) \|", DOCUMENT, re.MULTILINE))
    assert listed == {rule["alert"]: rule["labels"]["severity"] for rule in ALERTS}


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name, (kind, labels) in THERE_ARE.items():
        assert re.fullmatch(r"tambour_[a-z_]+", name)
        assert kind == "counter" or not name.endswith("_total"), name
        assert not {"id", "address", "order", "batch", "recipient", "authority"} & set(labels), f"{name} is unbounded"


def test_rows_are_shown_by_no_process_that_does_not_read_them() -> None:
    assert REGISTRY.get_sample_value("tambour_outbox_rows") is None


def test_stale_figures_of_rows_are_not_shown() -> None:
    one = rows.Shown()
    assert list(one.collect()) == [], "nothing was read yet"
