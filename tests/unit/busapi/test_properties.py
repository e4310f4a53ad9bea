"""Get, GetAll, Set and the getters of requests and CAs."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from fakes.caller import Client, Recorder, b, s, texts, x
from fakes.service import FakeService

from certmongerd.api import (
    CA_INTERFACE,
    ERROR_BAD_ARG,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.ca import CA
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.extended_ca import EXTENDED_CA
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.settings import SETTINGS_BY_KEY
from certmongerd.busapi.table import Interface, Property
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName, Nickname, ObjectPath
from certmongerd.core.model import (
    Ca,
    CaType,
    CertificateFacts,
    CertStorage,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    NamedCertificate,
    Request,
    StorageType,
    Template,
)
from certmongerd.core.secret import Secret
from certmongerd.core.states import State

NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_S: Final = int(NOON.timestamp())

ISSUED: Final = Request(
    id=Nickname("web"),
    state=State.MONITORING,
    key=KeyRecord(type=KeyAlgorithm.RSA, size=3072, generated_at=NOON, gen_size=3072),
    key_storage=KeyStorage(
        type=StorageType.NSSDB, location="sql:/db", nickname="n", token="t", pin=Secret("1234"), perms=0o600
    ),
    key_issued_count=2,
    cert_storage=CertStorage(type=StorageType.NSSDB, location="sql:/db", nickname="n", owner="web"),
    cert_facts=CertificateFacts(
        issuer="CN=CA",
        serial="0A",
        subject="CN=web",
        not_before=NOON,
        not_after=NOON,
        hostname=("web",),
        email=("a@b",),
        principal=("p@R",),
        ku="101",
        eku=("1.2.3",),
    ),
    last_need_notify_check=NOON,
    template=Template(
        subject="CN=t",
        hostname=("h",),
        email=("e",),
        principal=("p",),
        ku="011",
        eku=("1.3",),
        is_ca=True,
        ca_path_length=3,
        profile="server",
        challenge_password=Secret("hush"),
    ),
    csr="CSR",
    ca_name=CaName("local"),
    submitted=datetime(2026, 11, 23, 11, tzinfo=UTC),
    ca_cookie="cookie",
    ca_error="oops",
    cert="PEM",
    cert_chain=(NamedCertificate(nickname="c", pem="P"),),
)


@pytest.fixture
async def ca(service: FakeService) -> ObjectPath:
    return await service.add_ca(Ca(id=CaName("local"), external_helper="/bin/helper", issuer_names=("CN=x",)))


@pytest.fixture
async def issued(service: FakeService, ca: ObjectPath) -> ObjectPath:
    return await service.add_request(ISSUED)


@pytest.fixture
async def fresh(service: FakeService) -> ObjectPath:
    return await service.add_request(
        Request(id=Nickname("fresh"), cert_storage=CertStorage(type=StorageType.FILE, location="/a.crt"))
    )


@pytest.mark.parametrize(
    ("member", "issued_answer", "fresh_answer"),
    [
        ("get_nickname", ("web",), ("fresh",)),
        ("get_autorenew", (True,), (True,)),
        ("get_monitoring", (True,), (True,)),
        ("get_cert_data", ("PEM",), ()),
        (
            "get_cert_info",
            ("CN=CA", "0A", "CN=web", NOON_S, ("a@b",), ("web",), ("p@R",), 5, ("1.2.3",), NOON_S),
            ("", "", "", 0, (), (), (), 0, (), 0),
        ),
        ("get_cert_last_checked", (NOON_S,), ()),
        ("get_cert_storage_info", ("NSSDB", "sql:/db", "n"), ("FILE", "/a.crt")),
        ("get_key_storage_info", ("NSSDB", "sql:/db", "n", "t"), ("NONE",)),
        ("get_csr_data", ("CSR",), ()),
        ("get_csr_info", ("CN=t", ("e",), ("h",), ("p",), 6, ("1.3",)), ()),
        ("get_key_pin", ("1234",), ("",)),
        ("get_key_pin_file", ("",), ("",)),
        ("get_key_type_and_size", ("RSA", 3072), ("UNKNOWN", 0)),
        ("get_notification_info", ("syslog", "daemon.notice"), ("syslog", "daemon.notice")),
        ("get_status", ("MONITORING", False), ("NEWLY_ADDED", False)),
        ("get_ca", (f"{ROOT_PATH}/cas/CA1",), ()),
        ("get_ca_error", ("oops",), ()),
        ("get_submitted_cookie", ("cookie",), ()),
        ("get_submitted_date", (NOON_S - 3600,), ()),
    ],
)
async def test_getters_answer_what_is_known_and_nothing_else(
    member: str,
    issued_answer: tuple[object, ...],
    fresh_answer: tuple[object, ...],
    client: Client,
    issued: ObjectPath,
    fresh: ObjectPath,
) -> None:
    assert await client.call(issued, REQUEST_INTERFACE, member) == issued_answer
    assert await client.call(fresh, REQUEST_INTERFACE, member, "s", ("surplus",)) == fresh_answer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ca", f"{ROOT_PATH}/cas/CA1"),  # a path below requests/ in certmonger
        ("ca-profile", "server"),  # never readable in certmonger
        ("template-profile", "server"),
        ("template-ca-path-length", 3),
        ("cert-chain", (("c", "P"),)),
        ("cert-roots", ()),
        ("last-checked", NOON_S),
        ("key-generated-date", NOON_S),
        ("key-size", 3072),
        ("key-pin", "1234"),
        ("key-database", "sql:/db"),
        ("key-file", ""),
        ("cert-token", ""),
        ("cert-file", ""),
        ("template-challenge-password", "hush"),
        ("stuck", False),
        ("nss-user", None),
        ("cert-presave-uid", None),
    ],
)
async def test_properties_read(name: str, value: object, client: Client, issued: ObjectPath) -> None:
    assert await client.get(issued, name, REQUEST_INTERFACE) == value


async def test_get_all_leaves_out_what_is_not_set(client: Client, fresh: ObjectPath) -> None:
    properties = await client.get_all(fresh)

    assert len(properties) == 35
    assert not {"ca", "ca-error", "cert", "email", "cert-owner"} & set(properties)
    assert properties["key-pin"] == s("")
    assert properties["cert-perms"] == x(0)
    assert properties["template-ca-path-length"] == x(-1)


async def test_get_all_has_a_lower_case_twin_and_no_mercy_for_other_interfaces(
    client: Client, issued: ObjectPath
) -> None:
    twin = await client.call(issued, PROPERTIES_INTERFACE, "getAll", "s", (REQUEST_INTERFACE,))

    assert twin == (await client.get_all(issued, REQUEST_INTERFACE),)
    assert await client.get_all(issued, "a.b") == {}
    assert await client.get_all(ROOT_PATH) == {}


@pytest.mark.parametrize("state", list(State))
async def test_stuck_follows_the_state(state: State, client: Client, service: FakeService, fresh: ObjectPath) -> None:
    service.set_state(fresh, state)

    request = service.requests()[fresh]
    assert await client.call(fresh, REQUEST_INTERFACE, "get_status") == (state.value, request.is_stuck)


def test_every_writable_property_has_a_setting_that_accepts_its_type() -> None:
    samples = {"s": s(""), "as": texts(), "x": x(1)}
    for row in REQUEST.properties.values():
        if row.write is not None:
            assert SETTINGS_BY_KEY[row.name].read(samples[row.type]) is not None, row.name


@pytest.mark.parametrize("row", [row for row in REQUEST.properties.values() if row.write], ids=lambda row: row.name)
async def test_every_writable_request_property_reads_back(
    row: object, client: Client, service: FakeService, issued: ObjectPath
) -> None:
    name, type_ = getattr(row, "name", ""), getattr(row, "type", "")
    special = {"template-subject": s("CN=x"), "template-ku": s("1"), "template-eku": texts("1.2.3.4")}
    special |= {"template-ip-address": texts("192.0.2.1"), "template-ms-certificate-template": s("1.2:3")}
    usual = {"s": s("/text"), "as": texts("one", "two"), "x": Variant("i", 0o640)}
    value = special.get(name, usual[type_])

    await client.set(issued, name, value)

    assert await client.get(issued, name) == value.value
    assert service.restarted == []


async def test_set_clears(client: Client, issued: ObjectPath) -> None:
    await client.set(issued, "template-hostname", texts())
    await client.set(issued, "cert-owner", s(""))

    assert await client.get(issued, "template-hostname") == ()
    assert await client.get(issued, "cert-owner") is None


async def test_at_most_one_ca_is_the_default(
    api: CertmongerApi, client: Client, service: FakeService, ca: ObjectPath
) -> None:
    """Asking is harmless, which kills certmonger, and the former default is stored too."""
    other = await service.add_ca(Ca(id=CaName("other"), is_default=True))
    recorder = Recorder(api)

    await client.set(ca, "is-default", b(True), CA_INTERFACE)

    assert await client.call(ca, CA_INTERFACE, "get_is_default") == (True,)
    assert await client.call(other, CA_INTERFACE, "get_is_default") == (False,)
    assert [signal.path for signal in recorder.signals] == [other, ca]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("external-helper", "new"),
        ("scep-cipher", "aes-256"),
        ("scep-digest", "SHA512"),
        ("scep-ca-identifier", "new"),
        ("scep-cipher", ""),
    ],
)
async def test_what_an_external_ca_is_asked_with_makes_it_asked_again(
    name: str, value: str, client: Client, service: FakeService, ca: ObjectPath
) -> None:
    await client.set(ca, name, s(value), CA_INTERFACE)

    assert await client.get(ca, name) == value
    assert service.refetched == [ca]


@pytest.mark.parametrize("name", ["scep-cipher", "scep-digest"])
async def test_a_scep_setting_that_nobody_knows_is_refused_and_changes_nothing(
    name: str, client: Client, service: FakeService, ca: ObjectPath
) -> None:
    refused = await client.reply(ca, PROPERTIES_INTERFACE, "Set", "ssv", (CA_INTERFACE, name, s("ROT13")))
    assert refused.error_name == ERROR_BAD_ARG
    assert "ROT13" in str(refused.body[0])
    assert service.refetched == []


async def test_an_internal_ca_has_no_helper(client: Client, service: FakeService) -> None:
    path = await service.add_ca(Ca(id=CaName("SelfSign"), type=CaType.INTERNAL_SELF, internal_serial="0B"))

    await client.set(path, "external-helper", s("/bin/x"))

    assert await client.get(path, "external-helper") == ""
    assert await client.call(path, CA_INTERFACE, "get_serial") == ("0B",)
    assert await client.call(path, CA_INTERFACE, "get_type") == ("INTERNAL:SELF",)


async def test_ca_getters(client: Client, ca: ObjectPath) -> None:
    assert await client.call(ca, CA_INTERFACE, "get_nickname") == ("local",)
    assert await client.call(ca, CA_INTERFACE, "get_type") == ("EXTERNAL",)
    assert await client.call(ca, CA_INTERFACE, "get_serial") == ()
    assert await client.call(ca, CA_INTERFACE, "get_location") == ("/bin/helper",)
    assert await client.call(ca, CA_INTERFACE, "get_issuer_names") == (("CN=x",),)
    assert await client.call(ca, CA_INTERFACE, "get_config_file_path") == ("/var/lib/certmonger/cas/CA1",)
    assert await client.call(ca, CA_INTERFACE, "refresh") == (True,)


async def test_ca_lists_take_absolute_locations(client: Client, ca: ObjectPath) -> None:
    for row in CA.properties.values():
        if row.write and row.type == "as":
            await client.set(ca, row.name, texts("/one"))
            assert await client.get(ca, row.name) == ("/one",)
            body = ("", row.name, texts("relative"))
            name, _ = await client.error(ca, PROPERTIES_INTERFACE, "Set", "ssv", body)
            assert name == "org.fedorahosted.certmonger.bad_arg"


async def test_a_removed_cas_requests_have_none(
    client: Client, service: FakeService, issued: ObjectPath, ca: ObjectPath
) -> None:
    assert await client.call(ROOT_PATH, ROOT_INTERFACE, "remove_known_ca", "o", (ca,)) == (True,)

    assert await client.call(issued, REQUEST_INTERFACE, "get_ca") == ()
    assert await client.get(issued, "ca") is None
    await client.call(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", ("local", "", ()))
    assert await client.get(issued, "ca") == f"{ROOT_PATH}/cas/CA2"


@pytest.mark.parametrize(
    ("interface", "model"), [(REQUEST, Request), (EXTENDED_REQUEST, Request), (CA, Ca), (EXTENDED_CA, Ca)]
)
def test_every_property_comes_from_fields_that_there_are(interface: Interface[Any], model: type) -> None:
    known = {field.name for field in fields(model)}
    assert {source for row in interface.properties.values() for source in row.source.split()} <= known


@pytest.mark.parametrize("row", list(REQUEST.properties.values()), ids=lambda row: row.name)
def test_a_property_depends_on_its_sources_alone(row: Property[Request], service: FakeService) -> None:
    """Change signals skip properties whose sources are the same objects: that has to be right."""
    get = row.get
    blank = Request(id=Nickname("blank"))
    with_source = replace(blank, **{source: getattr(ISSUED, source) for source in row.source.split()})

    if row.source != "ca_name":
        assert get(with_source, service) == get(ISSUED, service)
