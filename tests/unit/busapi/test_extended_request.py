"""org.certmongerd.request: explanations and questions, and their bad inputs."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakes.caller import Client, Recorder
from fakes.service import FakeService

from certmongerd.api import (
    ERROR_INVALID_ARGS,
    ERROR_PROPERTY_READ_ONLY,
    ERROR_QUERY_REFUSED,
    ERROR_UNKNOWN_METHOD,
    EXTENDED_REQUEST_INTERFACE,
    PROPERTIES_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.service import ScepQuery
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import ObjectPath
from certmongerd.core.states import State


async def test_an_explanation_is_pairs_of_label_and_text(client: Client, base: dict[str, Variant]) -> None:
    path = await client.add(base)
    (facts,) = await client.call(path, EXTENDED_REQUEST_INTERFACE, "explain")
    assert [tuple(fact) for fact in facts] == [("state", "NEWLY_ADDED")]  # type: ignore[attr-defined]


async def test_a_history_is_structures_with_unix_times(client: Client, base: dict[str, Variant]) -> None:
    path = await client.add(base)
    (entries,) = await client.call(path, EXTENDED_REQUEST_INTERFACE, "history")
    assert [tuple(entry) for entry in entries] == [  # type: ignore[attr-defined]
        (1795431600, "begin", "NEWLY_ADDED", 0, "", 0),
        (1795431600, "unreachable", "NEWLY_ADDED", 2, "no", 1795431660),
    ]


async def test_the_next_attempt_is_a_property_and_changes_are_announced(
    api: CertmongerApi, client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    path = ObjectPath(await client.add(base))
    assert await properties_of(client, path) == {"next-attempt": 0, "attempts": 0, "has-pin": False}
    recorder = Recorder(api)
    due = datetime(2026, 11, 26, 12, tzinfo=UTC)
    waiting = replace(service.requests()[path], state=State.CA_UNREACHABLE, next_attempt=due, attempts=2)
    service.set_request(path, waiting)
    assert await properties_of(client, path) == {
        "next-attempt": int(due.timestamp()),
        "attempts": 2,
        "has-pin": False,
    }
    announced = {signal.body[0]: signal.body[1] for signal in recorder.signals}
    assert set(announced[EXTENDED_REQUEST_INTERFACE]) == {"next-attempt", "attempts"}  # type: ignore[call-overload]
    assert "status" in announced["org.fedorahosted.certmonger.request"]  # type: ignore[operator]


async def properties_of(client: Client, path: ObjectPath) -> dict[str, object]:
    """By `GetAll`, and one by one."""
    (found,) = await client.call(path, PROPERTIES_INTERFACE, "GetAll", "s", (EXTENDED_REQUEST_INTERFACE,))
    plain = {name: variant.value for name, variant in found.items()}  # type: ignore[attr-defined]
    for name, value in plain.items():
        (variant,) = await client.call(path, PROPERTIES_INTERFACE, "Get", "ss", (EXTENDED_REQUEST_INTERFACE, name))
        assert isinstance(variant, Variant)
        assert variant.value == value
    return plain


async def test_what_the_daemon_plans_cannot_be_set(client: Client, base: dict[str, Variant]) -> None:
    path = await client.add(base)
    arguments = (EXTENDED_REQUEST_INTERFACE, "attempts", Variant("x", 0))
    refused = await client.reply(path, PROPERTIES_INTERFACE, "Set", "ssv", arguments)
    assert refused.error_name == ERROR_PROPERTY_READ_ONLY


@pytest.mark.parametrize(
    ("member", "arguments", "query"),
    [
        ("get_crl", (), ScepQuery(wants_crl=True)),
        ("get_cert", ("",), ScepQuery(wants_crl=False)),
        ("get_cert", ("0aF",), ScepQuery(wants_crl=False, serial=0xAF)),
    ],
)
async def test_questions_reach_the_daemon(
    client: Client,
    service: FakeService,
    base: dict[str, Variant],
    member: str,
    arguments: tuple[str, ...],
    query: ScepQuery,
) -> None:
    path = await client.add(base)
    answer = await client.call(path, EXTENDED_REQUEST_INTERFACE, member, "s" * len(arguments), arguments)
    assert (answer, service.queries) == (("PEM",), [query])


@pytest.mark.parametrize("serial", ["0x1", "-1", "one", "1" * 65])
async def test_a_serial_number_that_is_not_hexadecimal_is_refused(
    client: Client, service: FakeService, base: dict[str, Variant], serial: str
) -> None:
    path = await client.add(base)
    refused = await client.reply(path, EXTENDED_REQUEST_INTERFACE, "get_cert", "s", (serial,))
    assert (refused.error_name, service.queries) == (ERROR_INVALID_ARGS, [])


async def test_a_question_that_is_not_answered_says_why(client: Client, base: dict[str, Variant]) -> None:
    path = await client.add(base)
    refused = await client.reply(path, EXTENDED_REQUEST_INTERFACE, "get_cert", "s", ("BAD",))
    assert (refused.error_name, refused.body) == (ERROR_QUERY_REFUSED, ("the server does not know it",))


async def test_only_requests_have_the_interface(client: Client) -> None:
    refused = await client.reply(ROOT_PATH, EXTENDED_REQUEST_INTERFACE, "explain")
    assert refused.error_name == ERROR_UNKNOWN_METHOD
