"""Bad dictionaries for add_request, and the answers they get.

Where certmonger sent no reply at all, or accepted what can never work, the answer is ours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from fakes.caller import Client, s, texts, x
from fakes.service import FakeService

from certmongerd.api import ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.transport import Variant

pytestmark = pytest.mark.usefixtures("library")

CM: Final = "org.fedorahosted.certmonger."
DBUS: Final = "org.freedesktop.DBus.Error."
INVALID: Final = DBUS + "InvalidArgs"

Entries = dict[str, Variant | None]


@dataclass(frozen=True)
class Bad:
    """One case: what is changed in the smallest request (None removes a key), and error, text and key expected."""

    number: int
    entries: Entries
    error: str
    text: str
    key: object


def fill(template: str, folder: Path) -> str:
    return template.replace("@", str(folder))


MUST_BE_ABSOLUTE: Final = 'The location "{}" must be an absolute path.'
MUST_BE_FILE: Final = 'The location "{}" must be a file.'
MUST_BE_DIRECTORY: Final = 'The location "{}" must be a directory.'
BAD_PARENT: Final = 'The parent of location "{}" must be a valid directory.'
NSS: Final[Entries] = {"CERT_STORAGE": s("NSSDB"), "CERT_NICKNAME": s("n")}
FILE_LISTS: Final = ("root-cert-files", "root-other-cert-files", "other-cert-files")
DATABASE_LISTS: Final = ("root-cert-nssdbs", "root-other-cert-nssdbs", "other-cert-nssdbs")


def key_file(location: str) -> Entries:
    return {"KEY_STORAGE": s("FILE"), "KEY_LOCATION": s(location)}


def key_database(location: str) -> Entries:
    return {"KEY_STORAGE": s("nssdb"), "KEY_LOCATION": s(location), "KEY_NICKNAME": s("n")}


ADD_REQUEST: Final = [
    Bad(3, {"CERT_STORAGE": None}, "missing_arg", "Certificate storage type not specified.", "CERT_STORAGE"),
    Bad(3, {"CERT_STORAGE": x(1)}, "missing_arg", "Certificate storage type not specified.", "CERT_STORAGE"),
    *(
        Bad(4, {"CERT_STORAGE": s(t)}, "bad_arg", f'Certificate storage type "{t}" not supported.', "CERT_STORAGE")
        for t in ("PKCS12", "NONE", "")
    ),
    Bad(5, {"CERT_LOCATION": None}, "missing_arg", "Certificate storage location not specified.", "CERT_LOCATION"),
    Bad(
        5,
        {"CERT_LOCATION": None, "cert-database": s("/tmp")},
        "missing_arg",
        "Certificate storage location not specified.",
        "CERT_LOCATION",
    ),
    *(
        Bad(6, {"CERT_LOCATION": s(where)}, "bad_arg", MUST_BE_ABSOLUTE.format(where), "CERT_LOCATION")
        for where in ("rel.crt", "")
    ),
    *(
        Bad(7, {"CERT_LOCATION": s(where)}, "bad_arg", BAD_PARENT.format(where), "CERT_LOCATION")
        for where in ("/no/such.crt", "@/file/a.crt")
    ),
    *(
        Bad(9, {"CERT_LOCATION": s(where)}, "bad_arg", MUST_BE_FILE.format(where), "CERT_LOCATION")
        for where in ("@", "@/fifo", "@/directory/")
    ),
    *(
        Bad(10, NSS | {"CERT_LOCATION": s(where)}, "bad_arg", MUST_BE_ABSOLUTE.format(where), "CERT_LOCATION")
        for where in ("nss", "sql:nss")
    ),
    *(
        Bad(11, NSS | {"CERT_LOCATION": s(where)}, "bad_arg", MUST_BE_DIRECTORY.format(where), "CERT_LOCATION")
        for where in ("/no", "@/file", "sql:@/file")
    ),
    *(
        Bad(
            13,
            {"CERT_STORAGE": s("NSSDB"), "CERT_LOCATION": s("@"), "CERT_NICKNAME": nickname},
            "missing_arg",
            "Certificate nickname not specified.",
            "CERT_NICKNAME",
        )
        for nickname in (None, s(""))
    ),
    Bad(14, {"KEY_STORAGE": s("BLAH")}, "bad_arg", 'Key storage type "BLAH" not supported.', "KEY_STORAGE"),
    *(
        Bad(15, {"KEY_STORAGE": s(t)}, "missing_arg", "Key storage location not specified.", "KEY_LOCATION")
        for t in ("FILE", "NSSDB")
    ),
    Bad(16, key_file("k"), "bad_arg", MUST_BE_ABSOLUTE.format("k"), "KEY_LOCATION"),
    Bad(17, key_file("/no/k"), "bad_arg", BAD_PARENT.format("/no/k"), "KEY_LOCATION"),
    Bad(18, key_file("@"), "bad_arg", MUST_BE_FILE.format("@"), "KEY_LOCATION"),
    Bad(19, key_database("@") | {"KEY_NICKNAME": None}, "missing_arg", "Key nickname not specified.", "KEY_NICKNAME"),
    Bad(20, key_database("/no"), "bad_arg", MUST_BE_DIRECTORY.format("/no"), "KEY_LOCATION"),
    Bad(21, {"KEY_PIN_FILE": s("pin")}, "bad_arg", MUST_BE_ABSOLUTE.format("pin"), "KEY_PIN_FILE"),
    Bad(
        22,
        {"template-challenge-password-file": s("pin")},
        "bad_arg",
        MUST_BE_ABSOLUTE.format("pin"),
        "template-challenge-password-file",
    ),
    *(
        Bad(23, {"KEY_TYPE": s(t)}, "bad_arg", f'No support for key type "{t}".', "KEY_TYPE")
        for t in ("FOO", "DSA", "", "ML-DSA-45")
    ),
    *(
        Bad(24, {"CA": s(ca)}, "bad_arg", "No such CA.", "CA")
        for ca in (
            "/org/fedorahosted/certmonger/cas/CA99",
            "local",
            "/",
            "/org/fedorahosted/certmonger/requests/Request1",
        )
    ),
    *(
        Bad(
            25,
            {"template-ms-certificate-template": s(t)},
            "bad_arg",
            f"Invalid V2 certificate template specifier: {t}",
            "template-ms-certificate-template",
        )
        for t in ("Foo", "1.2.3", "1.2.3:", "1.2.3:a", "bad:1:2", "1.2.3:4:5:6")
    ),
    *(Bad(26, {key: texts("x")}, "bad_arg", MUST_BE_ABSOLUTE.format("x"), key) for key in FILE_LISTS),
    *(Bad(27, {key: texts("/no/x")}, "bad_arg", BAD_PARENT.format("/no/x"), key) for key in FILE_LISTS),
    *(Bad(28, {key: texts("@")}, "bad_arg", MUST_BE_FILE.format("@"), key) for key in FILE_LISTS),
    *(Bad(29, {key: texts("x")}, "bad_arg", MUST_BE_ABSOLUTE.format("x"), key) for key in DATABASE_LISTS),
    *(Bad(30, {key: texts("/no")}, "bad_arg", MUST_BE_DIRECTORY.format("/no"), key) for key in DATABASE_LISTS),
    Bad(
        31,
        {"NICKNAME": s("NICK")},
        "duplicate",
        'There is already a request with the nickname "Nick".',
        ("NICKNAME",),
    ),
    Bad(
        32,
        {"CERT_LOCATION": s("@/nick.crt")},
        "duplicate",
        'Certificate at same location is already used by request with nickname "Nick".',
        ("CERT_LOCATION",),
    ),
    Bad(
        33,
        {"CERT_STORAGE": s("NSSDB"), "CERT_LOCATION": s("@/./directory//"), "CERT_NICKNAME": s("db")},
        "duplicate",
        'Certificate at same location is already used by request with nickname "Database".',
        ("CERT_LOCATION", "CERT_NICKNAME"),
    ),
    Bad(
        34,
        key_file("@/nick.key"),
        "duplicate",
        'Key at same location is already used by request with nickname "Nick".',
        ("KEY_LOCATION",),
    ),
    Bad(
        34,
        key_database("@/directory") | {"KEY_NICKNAME": s("dbkey")},
        "duplicate",
        'Key at same location is already used by request with nickname "Database".',
        ("KEY_LOCATION", "KEY_NICKNAME"),
    ),
    # certmonger accepts these, although nothing good can come of them.
    Bad(
        37,
        key_file("@/a.crt"),
        "bad_arg",
        "Key and certificate can not both be saved to the same file.",
        "KEY_LOCATION",
    ),
    Bad(37, {"KEY_SIZE": x(-5)}, "bad_arg", "A key size of -5 bits is not supported.", "KEY_SIZE"),
    Bad(37, {"KEY_SIZE": x(2**40)}, "bad_arg", f"A key size of {2**40} bits is not supported.", "KEY_SIZE"),
]


def placed(variant: Variant, folder: Path) -> Variant:
    match variant.value:
        case str(text):
            return Variant(variant.signature, fill(text, folder))
        case tuple(elements):
            return Variant(variant.signature, tuple(fill(str(element), folder) for element in elements))
    return variant


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("bad", ADD_REQUEST, ids=lambda bad: f"{bad.number}-{bad.text[:40]}")
async def test_add_request_refuses_and_names_the_key(
    bad: Bad, client: Client, service: FakeService, base: dict[str, Variant], tmp_path: Path
) -> None:
    entries = dict(base)
    for key, variant in bad.entries.items():
        entries.pop(key, None)
        if variant is not None:
            entries[key] = placed(variant, tmp_path)

    name, body = await client.error(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (entries,))

    assert (name, body) == (CM + bad.error, (fill(bad.text, tmp_path), bad.key))
    assert len(service.requests()) == 2
