"""What `watch` makes of the daemon's signals."""

from collections.abc import Mapping
from itertools import product

from certmongerd.api import OBJECT_MANAGER_INTERFACE, PROPERTIES_INTERFACE, REQUEST_INTERFACE, ROOT_PATH
from certmongerd.busapi.transport import MessageKind, Variant, WireMessage
from getcert.entries import Properties, RequestEntry
from getcert.watching import Watcher

PATH = f"{ROOT_PATH}/requests/Request1"
OTHER = f"{ROOT_PATH}/requests/Request2"


def entry(path: str, nickname: str, **values: object) -> RequestEntry:
    return RequestEntry(path, Properties({"nickname": nickname, "status": "MONITORING", "stuck": False, **values}))


def watcher(*, wanted: str = "", verbose: bool = False, others: tuple[RequestEntry, ...] = ()) -> Watcher:
    known = {each.path: each for each in others}
    made = Watcher(known.get, lambda each: wanted in ("", each.nickname), utc=True, verbose=verbose)
    assert list(made.begin([entry(PATH, "web")])) == ["web: MONITORING"]
    return made


def changed(path: str, values: Mapping[str, object], gone: tuple[str, ...] | None = ()) -> WireMessage:
    variants = {name: Variant("s", value) for name, value in values.items()}
    body: tuple[object, ...] = (REQUEST_INTERFACE, variants)
    if gone is not None:
        body += (gone,)
    return WireMessage(
        kind=MessageKind.SIGNAL, path=path, interface=PROPERTIES_INTERFACE, member="PropertiesChanged", body=body
    )


def managed(member: str, path: str, content: object) -> WireMessage:
    return WireMessage(
        kind=MessageKind.SIGNAL,
        path=ROOT_PATH,
        interface=OBJECT_MANAGER_INTERFACE,
        member=member,
        body=(path, content),
    )


def test_a_state_is_told_once_and_whether_it_is_stuck() -> None:
    watch = watcher()
    signal = changed(PATH, {"status": "NEED_GUIDANCE", "stuck": True, "ca-error": "what now"})
    assert list(watch.take(signal)) == ["web: NEED_GUIDANCE, stuck", "web: ca-error: what now"]
    assert list(watch.take(signal)) == []
    assert list(watch.take(changed(PATH, {"status": "SUBMITTING", "stuck": False}, ("ca-error",)))) == [
        "web: SUBMITTING"
    ]
    assert list(watch.take(changed(PATH, {"ca-error": "what now"}))) == ["web: ca-error: what now"]


def test_signals_with_two_arguments_as_certmonger_sends_them_are_understood() -> None:
    assert list(watcher().take(changed(PATH, {"status": "SUBMITTING"}, None))) == ["web: SUBMITTING"]


def test_a_new_certificate_and_a_new_name_are_told() -> None:
    watch = watcher()
    assert list(watch.take(changed(PATH, {"not-valid-after": 1736856000}))) == [
        "web: new certificate, expires 2025-01-14 12:00:00 UTC"
    ]
    assert list(watch.take(changed(PATH, {"nickname": "www"}))) == ["web: is called www now"]
    saved = WireMessage(
        kind=MessageKind.SIGNAL, path=PATH, interface=REQUEST_INTERFACE, member="SavedCertificate", body=()
    )
    assert list(watch.take(saved)) == ["www: certificate saved"]


def test_other_properties_are_named_when_asked_for() -> None:
    signal = changed(PATH, {"key-owner": "root", "last-checked": 5}, ("template-subject",))
    assert list(watcher().take(signal)) == []
    assert list(watcher(verbose=True).take(signal)) == ["web: changed: key-owner, template-subject"]


def test_requests_come_and_go() -> None:
    watch = watcher()
    values = {"nickname": Variant("s", "new"), "status": Variant("s", "NEWLY_ADDED")}
    assert list(watch.take(managed("InterfacesAdded", OTHER, {REQUEST_INTERFACE: values}))) == [
        "new: added",
        "new: NEWLY_ADDED",
    ]
    assert list(watch.take(managed("InterfacesRemoved", OTHER, (REQUEST_INTERFACE,)))) == ["new: removed"]
    assert list(watch.take(managed("InterfacesRemoved", OTHER, (REQUEST_INTERFACE,)))) == []
    assert watch.watched == 1


def test_a_request_that_nobody_announced_is_read_at_its_first_change() -> None:
    watch = watcher(others=(entry(OTHER, "new", status="NEED_CSR"),))
    assert list(watch.take(changed(OTHER, {"status": "NEED_CSR"}))) == ["new: added", "new: NEED_CSR"]
    assert list(watch.take(changed(f"{OTHER}9", {"status": "NEED_CSR"}))) == []


def test_only_what_is_wanted_is_told() -> None:
    watch = watcher(wanted="web", others=(entry(OTHER, "new"),))
    assert list(watch.take(changed(OTHER, {"status": "NEED_CSR"}))) == []
    assert list(watch.take(managed("InterfacesRemoved", OTHER, ()))) == []
    assert list(watch.take(managed("InterfacesRemoved", PATH, ()))) == ["web: removed"]
    assert watch.watched == 0


def test_a_signal_of_unexpected_content_is_no_news() -> None:
    watch = watcher()
    bodies: tuple[tuple[object, ...], ...] = (
        (),
        (REQUEST_INTERFACE,),
        (REQUEST_INTERFACE, 5),
        ("x", {}, ()),
        (5, {"status": "x"}),
    )
    members = (("PropertiesChanged", PROPERTIES_INTERFACE), ("InterfacesAdded", OBJECT_MANAGER_INTERFACE))
    for body, (member, interface) in product(bodies, members):
        signal = WireMessage(kind=MessageKind.SIGNAL, path=PATH, interface=interface, member=member, body=body)
        assert list(watch.take(signal)) == []
