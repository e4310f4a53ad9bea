"""Prometheus itself: it reads the metrics of a daemon, loads the alert rules, and answers what the dashboard asks."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_under_test import DaemonUnderTest, wait_until
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"
RULES = MONITORING / "alerts.yaml"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLES = {
    variable["name"]: variable["query"]["query"]
    for variable in DASHBOARD["templating"]["list"]
    if variable["type"] == "query"
}
LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, "Prometheus is not installed: apt-get install prometheus"
    return found


def promtool(*arguments: str | Path, stdin: str = "") -> str:
    """Run promtool, which must be content; what it printed."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Server:
    """A Prometheus that asks one daemon every half second and keeps what it learns in a folder."""

    def __init__(self, root: Path, target: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        configuration = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "certmongerd", "static_configs": [{"targets": [target]}]}],
        }
        (root / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self.log = root / "prometheus.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={root}/prometheus.yml",
                    f"--storage.tsdb.path={root}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP interface."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
            answer = json.load(connection.getresponse())
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples that *expression* has now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def is_ready(self) -> bool:
        """Whether it answers, and has asked the daemon a few times; before that it may answer with plain text."""
        try:
            return bool(self.query("count_over_time(up[1m]) > 3"))
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    """One that has a certificate which was renewed, and a request whose CA cannot be reached."""
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), options=("--metrics", "127.0.0.1:0"))
    under_test.start()
    assert under_test.request("web").returncode == 0
    under_test.add_helper("broken", "echo no route; exit 3")
    under_test.request("lost", ca="broken")
    yield under_test
    under_test.close()


@pytest.fixture(scope="module")
def target(daemon: DaemonUnderTest) -> str:
    wait_until(lambda: "Metrics are served at" in daemon.log.read_text(), daemon.log)
    found = re.search(r"Metrics are served at (\S+)", daemon.log.read_text())
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def server(daemon: DaemonUnderTest, target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("prometheus"), target)
    try:
        wait_until(running.is_ready, running.log)
        assert daemon.getcert("resubmit", "-i", "web", "-w").returncode == 0
        wait_until(lambda: bool(running.query("certmongerd_renewals_total == 1")), running.log)
        yield running
    finally:
        running.close()


def test_the_metrics_have_no_fault_that_promtool_finds(target: str) -> None:
    host, _, port = target.partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
        connection.request("GET", "/metrics")
        assert promtool("check", "metrics", stdin=connection.getresponse().read().decode()) == ""


def test_the_alert_rules_are_loaded_and_fire_as_they_say() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert f"{len(group['rules'])} rules found" in promtool("check", "rules", RULES)
    tests = Path(__file__).with_name("alerts_test.yaml")
    promtool("test", "rules", tests)
    tried = {
        case["alertname"] for test in yaml.safe_load(tests.read_text())["tests"] for case in test["alert_rule_test"]
    }
    assert tried == {rule["alert"] for rule in group["rules"]}


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_of_the_dashboard_finds_something(server: Server, query: str) -> None:
    for variable in VARIABLES:
        query = query.replace(f"${variable}", ".*")
    assert server.query(query.replace("$__rate_interval", "1m")), query


@pytest.mark.parametrize("variable", VARIABLES)
def test_each_choice_of_the_dashboard_has_values(server: Server, variable: str) -> None:
    found = LABEL_VALUES.fullmatch(VARIABLES[variable])
    assert found is not None
    assert server.ask(f"label/{found[2]}/values", **{"match[]": found[1]})


def test_grafanas_own_model_of_dashboards_knows_all_that_is_in_ours() -> None:
    understood = json.loads(json.dumps(Dashboard.from_json(DASHBOARD), cls=JSONEncoder))
    lost = set(fields_of(DASHBOARD)) - set(fields_of(understood))
    assert {name for name, _ in lost} <= {"definition"}  # the editor's copy of a variable's query


def fields_of(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Each plain value in JSON data, with the name of the field that it is in."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from fields_of(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from fields_of(part, name)
    else:
        yield name, json.dumps(value)


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    """What Grafana's dashboard JSON model asks for."""
    assert DASHBOARD["uid"]
    assert DASHBOARD["title"]
    assert isinstance(DASHBOARD["schemaVersion"], int)
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] in {"stat", "bargauge", "table", "timeseries"}
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used <= names
