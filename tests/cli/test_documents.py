"""The documents of --output, and that their description is complete."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from fakes.request_world import NOW as BEGIN
from fakes.request_world import PLAIN_CA, monitored

from certmongerd.core.simulation import Assumptions, Outage, simulate
from certmongerd.core.states import State
from certmongerd.core.step import Policy
from certmongerd.runner.simulation import forecast_document
from getcert.documents import (
    ca_document,
    cas_document,
    days_left,
    history_document,
    request_document,
    requests_document,
    status_document,
    time_of,
)
from getcert.entries import CaEntry, HistoryEntry, Properties, RequestEntry
from getcert.rendering import render

DAY = timedelta(days=1)
DESCRIPTION = (Path(__file__).parent.parent.parent / "docs" / "getcert-output.md").read_text()
NOT_BEFORE, NOT_AFTER, NOW = 1705320000, 1736856000, 1734436801.5
VALUES: Mapping[str, object] = {
    "nickname": "wéb",
    "status": "MONITORING",
    "stuck": False,
    "key-storage": "FILE",
    "key-file": "/k",
    "key-perms": 0o640,
    "key-type": "RSA",
    "key-size": 2048,
    "key-pin": "geheim",
    "template-challenge-password": "geheim",
    "cert-storage": "FILE",
    "cert-file": "/c",
    "not-valid-before": NOT_BEFORE,
    "not-valid-after": NOT_AFTER,
    "hostname": ("a.example.org", "b.example.org"),
    "ku": "101",
    "eku": ("1.3.6.1.5.5.7.3.1", "1.2.3"),
    "cert-postsave-command": "/bin/true",
    "monitoring": True,
}
REQUEST = RequestEntry("/r/Request1", Properties(VALUES))
NEW_REQUEST = RequestEntry("/r/Request2", Properties({"nickname": "new", "status": "NEED_CA", "stuck": True}))
CA = CaEntry("/c/CA1", Properties({"nickname": "local", "aka": "Local", "external-helper": "/h"}))
DOCUMENTS = {
    "list": requests_document((request_document(REQUEST, CA, NOW), request_document(NEW_REQUEST, None, NOW)), total=3),
    "list-cas": cas_document((ca_document(CA, kind="EXTERNAL", serial="", config_path="/f"),)),
    "status": status_document(REQUEST, 0),
    "history": history_document("wéb", [HistoryEntry(NOT_BEFORE, "unreachable", "CA_UNREACHABLE", 2, "nö", NOT_AFTER)]),
    "simulate": forecast_document(
        simulate(
            [monitored(), replace(monitored(), state=State.NEED_GUIDANCE)],
            [PLAIN_CA],
            Policy(),
            BEGIN,
            Assumptions(until=BEGIN + 800 * DAY, outages=(Outage(begin=BEGIN + 300 * DAY, end=BEGIN + 400 * DAY),)),
        )
    ),
}


def keys_of(value: object, prefix: str = "") -> Iterator[str]:
    """Every key of a document in the notation of its description."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            nested = list(keys_of(below, f"{prefix}{key}."))
            if isinstance(below, Mapping):
                yield from nested
            else:
                yield f"{prefix}{key}"
                yield from nested
    elif isinstance(value, list):
        for item in value:
            yield from keys_of(item, prefix.removesuffix(".") + "[].")


def described(command: str) -> set[str]:
    section = DESCRIPTION.split(f"## `getcert {command}`\n")[1].split("\n#")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


@pytest.mark.parametrize("command", DOCUMENTS)
def test_every_key_is_described_and_every_described_key_exists(command: str) -> None:
    assert set(keys_of(DOCUMENTS[command])) == described(command)


@pytest.mark.parametrize("command", DOCUMENTS)
def test_json_and_yaml_hold_the_same_and_are_ascii(command: str) -> None:
    as_json, as_yaml = (render(DOCUMENTS[command], form) for form in ("json", "yaml"))
    assert json.loads(as_json) == yaml.safe_load(as_yaml) == DOCUMENTS[command]
    assert as_json.isascii()
    assert as_yaml.isascii()


def test_a_request_is_told_with_types_that_programs_can_use() -> None:
    document = json.loads(render(request_document(REQUEST, CA, NOW), "json"))
    assert (document["id"], document["ca"], document["stuck"], document["track"]) == ("wéb", "local", False, True)
    assert document["key"]["permissions"] == "0640"
    assert document["key"]["size_bits"] == 2048
    certificate = document["certificate"]
    assert certificate["not_before"] == "2024-01-15T12:00:00Z"
    assert certificate["not_after"] == "2025-01-14T12:00:00Z"
    assert certificate["days_left"] == 27
    assert certificate["dns"] == ["a.example.org", "b.example.org"]
    assert certificate["key_usage"] == ["digitalSignature", "keyEncipherment"]
    assert certificate["extended_key_usage"] == ["id-kp-serverAuth", "1.2.3"]
    assert document["post_save_command"] == "/bin/true"


def test_what_is_unknown_is_null_and_the_keys_are_the_same() -> None:
    new, full = (request_document(entry, None, NOW) for entry in (NEW_REQUEST, REQUEST))
    assert list(keys_of(new)) == list(keys_of(full))
    assert new["ca"] is None
    assert new["ca_error"] is None


def test_no_pin_and_no_password_gets_into_a_document() -> None:
    assert "geheim" not in render(DOCUMENTS["list"], "json")


@pytest.mark.parametrize(("seconds", "days"), [(86400, 1), (86399, 0), (0, 0), (-1, -1), (-86400, -1), (-86401, -2)])
def test_days_are_whole_days_and_negative_after_the_end(seconds: int, days: int) -> None:
    assert days_left(NOT_AFTER, NOT_AFTER - seconds) == days


def test_no_certificate_has_no_days_and_no_times() -> None:
    assert days_left(0, NOW) is None
    assert time_of(0) is None
