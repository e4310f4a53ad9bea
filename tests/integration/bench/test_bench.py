"""The measurements still work. What they give is for `make bench` to tell, on a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[3]
SUITE = ROOT / "bench" / "suite.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in its smallest form writes."""
    folder = tmp_path_factory.mktemp("bench")
    subprocess.run([sys.executable, str(SUITE), "--tiny", "--output", str(folder)], check=True, timeout=500)
    return folder


def test_everything_is_measured_of_this_daemon_and_what_can_be_of_the_original(output: Path) -> None:
    results = json.loads((output / "results.json").read_text())["results"]
    measured = {(result["case"], result["daemon"]) for result in results if "runs" in result}
    failed = {(result["case"], result["daemon"]) for result in results if "failed" in result}
    cases = {"self-signed, EC-256", "self-signed, RSA-2048", "CA local, RSA-2048", "tracked", "renewal", "getcert list"}
    assert {(case, daemon) for case in cases for daemon in ("certmongerd", "debian")} <= measured
    assert ("scepserver, RSA-2048", "certmongerd") in measured
    # certmonger does not accept how scepserver signs.
    assert failed == {("scepserver, RSA-2048", "debian")}


def test_the_table_has_a_line_for_what_both_were_measured_with(output: Path) -> None:
    lines = (output / "table.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("| getcert list | 2 |"))
    _, _, _, ours, theirs, ratio, _ = (cell.strip() for cell in line.split("|"))
    assert ours.endswith(" s")
    assert theirs.endswith(" s")
    assert float(ratio) > 0


def test_the_picture_shows_a_curve_for_each_cost(output: Path) -> None:
    picture = ElementTree.fromstring((output / "costs.svg").read_text())
    curves = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(curves) >= 4
