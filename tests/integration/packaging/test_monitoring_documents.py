"""The alert rules and the table of metrics speak of metrics that exist."""

import re
from datetime import UTC, datetime
from pathlib import Path

import yaml

from certmongerd.observe.metrics import Metrics
from certmongerd.observe.run_times import RunTimes

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"
NAME = re.compile(r"certmongerd_\w+")


def existing() -> set[str]:
    metrics = Metrics(dict, dict, RunTimes(), lambda: datetime.now(UTC))
    return {line.split()[2] for line in metrics.text().decode().splitlines() if line.startswith("# TYPE")}


def test_every_metric_is_in_the_table_and_the_table_has_no_other() -> None:
    rows = [line for line in (MONITORING / "README.md").read_text().splitlines() if line.startswith("| `certmongerd_")]
    assert {NAME.findall(row)[0] for row in rows} == existing()


def test_alert_rules_can_be_loaded_and_use_metrics_that_exist() -> None:
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    assert len(group["rules"]) >= 4
    for rule in group["rules"]:
        assert set(NAME.findall(rule["expr"])) <= existing()
        assert {"alert", "expr", "for", "labels", "annotations"} <= set(rule)
