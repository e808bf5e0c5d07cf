"""The dashboard and the alert rules that ship: they ask for what there is, and say what they should."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mta.observe.metrics import FAMILIES
from tests.support.patience import PATIENCE
from tests.support.programs import find, needs

PLACE = Path(__file__).parents[2] / "docs" / "monitoring"
BOARD = json.loads((PLACE / "grafana.json").read_text("utf-8"))
RULES = yaml.safe_load((PLACE / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
_PROMETHEUS = {"le", "worker"}  # labels that every series may have
_METRIC = re.compile(r"(mta_\w+)(?:\{([^}]*)\})?")


def test_panels_are_told_apart_and_do_not_lie_upon_each_other() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_the_dashboard_names_no_prometheus_of_its_own() -> None:
    [variable] = BOARD["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    sources = [panel["datasource"] for panel in BOARD["panels"]]
    sources += [target["datasource"] for panel in BOARD["panels"] for target in panel["targets"]]
    assert {source["uid"] for source in sources} == {"${datasource}"}


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *(rule["expr"] for rule in RULES)])
def test_every_metric_that_is_asked_for_is_there_with_these_labels(expression: str) -> None:
    asked = _METRIC.findall(expression)
    assert asked
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
    known: set[str] = set(_PROMETHEUS)
    for name, selector in asked:
        family = FAMILIES[name]
        assert set(re.findall(r"(\w+)=", selector)) <= {*family.labels, *_PROMETHEUS}
        known |= set(family.labels)
    assert grouped <= known


def promtool(*words: str | Path) -> str:
    done = subprocess.run([find("promtool") or "promtool", *words], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- what Prometheus itself says -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["alerts", "dashboard"], ids=str)
@pytest.mark.peer
@needs("promtool")
def test_promtool_reads_every_expression(tmp_path: Path, what: str) -> None:
    if what == "alerts":
        assert f"{len(RULES)} rules found" in promtool("check", "rules", PLACE / "alerts.yml")
        return
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


# rule -> (series that make it speak, series that do not, after which time, and its labels)
F = {"connector": "f"}
CASES = {
    "MailIsOld": ('mta_queue_oldest_seconds{connector="f", worker="0"}', "4000x60", "3000x60", "30m", F),
    "MailIsHeld": ('mta_queue_recipients{state="held", worker="0"}', "3x300", "0x300", "3h", {}),
    "WorkerIsSilent": ('mta_worker_up{worker="1"}', "0x60", "1x60", "10m", {"worker": "1"}),
    "Alarm": ('mta_alarms_total{alarm="queue-damaged"}', "0+1x60", "2x60", "9m", {"alarm": "queue-damaged"}),
    "WorkerDied": ("mta_worker_deaths_total", "0+1x60", "2x60", "30m", {}),
    "Defect": ('mta_defects_total{worker="0"}', "0+1x60", "2x60", "30m", {}),
    "StorageFails": ('mta_storage_failures_total{worker="0"}', "0+1x60", "2x60", "30m", {}),
    "CertificatesRefused": (
        'mta_messages_refused_total{connector="f", stage="MAIL", reason="certificate-name", worker="0"}',
        "0+1x60", "2x60", "40m", {"connector": "f"},
    ),
    "MostMailIsDeferred": (
        'mta_deliveries_total{connector="f", result="deferred", tls="", worker="0"}',
        "0+9x60", "2x60", "50m", {"connector": "f"},
    ),
    "CertificateEnds": (
        'mta_certificate_days_left{kind="own", where="w", subject="CN=x"}',
        "13x120", "14x120", "90m", {"kind": "own", "subject": "CN=x"},
    ),
}  # fmt: skip


def test_every_rule_has_its_case() -> None:
    assert set(CASES) == {rule["alert"] for rule in RULES}


@pytest.mark.peer
@needs("promtool")
def test_each_alert_speaks_when_it_should_and_not_before(tmp_path: Path) -> None:
    tests = []
    for rule in RULES:
        series, bad, good, after, labels = CASES[rule["alert"]]
        severity = rule["labels"]["severity"]
        for values, expected in ((bad, [{"exp_labels": {"severity": severity, **labels}}]), (good, [])):
            check = {"eval_time": after, "alertname": rule["alert"], "exp_alerts": expected}
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": series, "values": values}],
                    "alert_rule_test": [check],
                }
            )
    bare = [{key: value for key, value in rule.items() if key != "annotations"} for rule in RULES]
    (tmp_path / "bare.yml").write_text(yaml.safe_dump({"groups": [{"name": "mta", "rules": bare}]}))
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": ["bare.yml"], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", path)
