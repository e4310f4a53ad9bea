"""add_request: what the dictionary turns into."""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fakes.caller import Client, b, s, texts, x
from fakes.service import FakeService, disk_full

from certmongerd.api import ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi import settings
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import MessageKind, Variant
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaCertLocations, Hook, KeyAlgorithm, Request, StorageType, Template
from certmongerd.core.secret import Secret


def only(service: FakeService) -> Request:
    (request,) = service.requests().values()
    return request


async def test_the_smallest_request_gets_the_defaults(
    client: Client, service: FakeService, base: dict[str, Variant], tmp_path: Path
) -> None:
    path = await client.add(base)

    request = only(service)
    assert path == f"{ROOT_PATH}/requests/Request1"
    assert request.cert_storage.location == f"{tmp_path}/a.crt"
    assert request.key_storage.type is StorageType.NONE
    assert (request.monitor, request.autorenew, request.ca_name) == (True, True, "")
    assert (request.key.gen_type, request.key.gen_size) == (KeyAlgorithm.RSA, 2048)
    assert len(await client.get_all(path)) == 35


def everything(here: str, ca: str) -> dict[str, Variant]:
    return {
        "cert_storage": s("file"),
        "cert-file": s(f"{here}/a.crt"),
        "KEY_storage": s("File"),
        "key-file": s(f"{here}/a.key"),
        "KEY_PIN": s("secret"),
        "key-type": s("ecdsa"),
        "KEY_SIZE": Variant("n", 300),
        "nickname": s("Web"),
        "ca": s(ca),
        "ca-profile": s("loses"),
        "template-profile": s("server"),
        "template-issuer": s("sub"),
        "monitoring": b(False),
        "RENEW": b(False),
        "template-subject": s("CN=www"),
        "KU": s("101"),
        "EKU": texts("1.3.6.1.5.5.7.3.1,id-kp-clientAuth", ""),
        "dns": texts("www", "", "www"),
        "EMAIL": texts("a@b"),
        "PRINCIPAL": texts("host/www@R"),
        "template-ip-address": texts("192.0.2.1", "2001:db8::1"),
        "template-is-ca": b(True),
        "template-ca-path-length": Variant("i", 2),
        "template-ocsp": texts("http://o"),
        "template-crldp": texts("http://c"),
        "template-freshest-crl": texts("http://f"),
        "template-ns-comment": s("note"),
        "template-ns-certtype": s("server"),
        "template-ms-certificate-template": s("1.2.3:4"),
        "template-challenge-password": s("hush"),
        "cert-presave-command": s("/bin/stop"),
        "cert-postsave-command": s("/bin/start"),
        "root-cert-files": texts(f"{here}/root.pem"),
        "other-cert-files": texts(f"{here}/other.pem"),
        "root-other-cert-nssdbs": texts("sql:" + here),
        "cert-owner": s("web:web"),
        "key-owner": s("web"),
        "cert-perms": x(0o644),
        "key-perms": x(0o600),
        "nss-user": s("nobody"),
    }


async def test_every_setting_arrives(client: Client, service: FakeService, tmp_path: Path) -> None:
    ca = await service.add_ca(Ca(id=CaName("local")))
    here = str(tmp_path)

    await client.add(everything(here, ca))

    request = only(service)
    assert request.id == "Web"
    assert request.ca_name == "local"
    assert (request.monitor, request.autorenew) == (False, False)
    assert (request.key.gen_type, request.key.gen_size) == (KeyAlgorithm.EC, 384)
    assert request.key_storage.pin == Secret("secret")
    assert (request.key_storage.owner, request.key_storage.perms) == ("web", 0o600)
    assert (request.cert_storage.owner, request.cert_storage.perms) == ("web:web", 0o644)
    assert request.pre_save == Hook(command="/bin/stop", uid="0")
    assert request.post_save == Hook(command="/bin/start", uid="0")
    assert request.ca_certs == CaCertLocations(
        root_files=(f"{here}/root.pem",), other_files=(f"{here}/other.pem",), other_root_dbs=("sql:" + here,)
    )
    assert request.nss_user == "nobody"
    assert request.template == Template(
        subject="CN=www",
        hostname=("www", "www"),
        email=("a@b",),
        principal=("host/www@R",),
        ip_address=("192.0.2.1", "2001:db8::1"),
        ku="101",
        eku=("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"),
        is_ca=True,
        ca_path_length=2,
        ocsp=("http://o",),
        crldp=("http://c",),
        freshest_crl=("http://f",),
        ns_comment="note",
        ns_certtype="server",
        profile="server",
        issuer="sub",
        certificate_template="1.2.3:4",
        challenge_password=Secret("hush"),
    )


@pytest.mark.parametrize(
    ("type_", "size", "expected"),
    [
        ("RSA", 512, 1024),
        ("RSA", 0, 2048),
        ("RSA", 2049, 2049),
        ("EC", 100, 256),
        ("EC", 257, 384),
        ("EC", 385, 521),
        ("EC", 4096, 521),
        ("EC", None, 521),
        ("Ed25519", None, 256),
        ("ed25519", 2048, 256),
        ("ml-dsa-65", 4096, 0),
        ("ML-DSA-87", None, 0),
    ],
)
async def test_key_sizes_are_raised_to_what_the_type_allows(
    type_: str, size: int | None, expected: int, client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    entries = base | {"KEY_TYPE": s(type_)}
    if size is not None:
        entries["KEY_SIZE"] = x(size)
    await client.add(entries)

    assert only(service).key.gen_size == expected


async def test_a_key_type_that_the_installed_library_lacks_is_refused_with_the_reason(
    client: Client, service: FakeService, base: dict[str, Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "is_supported", lambda algorithm: algorithm in (KeyAlgorithm.RSA, KeyAlgorithm.EC))

    name, (text, key) = await client.error(
        ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (base | {"KEY_TYPE": s("ML-DSA-44")},)
    )

    assert (name.rpartition(".")[2], key) == ("bad_arg", "KEY_TYPE")
    assert "cryptography library" in str(text)
    assert not service.requests()


async def test_the_legacy_key_wins_unless_its_type_is_wrong(
    client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    await client.add(
        base | {"template-subject": s("CN=alias"), "SUBJECT": s("CN=legacy"), "KU": x(1), "template-ku": s("1")}
    )

    assert only(service).template.subject == "CN=legacy"
    assert only(service).template.ku == "1"


async def test_a_pin_file_wins_over_a_pin(client: Client, service: FakeService, with_key: dict[str, Variant]) -> None:
    await client.add(with_key | {"KEY_PIN": s("1234"), "KEY_PIN_FILE": s("/pin")})

    assert (only(service).key_storage.pin, only(service).key_storage.pin_file) == (None, "/pin")


async def test_without_key_storage_a_key_location_is_ignored(
    client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    await client.add(base | {"KEY_LOCATION": s("relative"), "KEY_NICKNAME": s("n")})

    assert only(service).key_storage.location == ""


async def test_databases_are_normalised_without_their_prefix(
    client: Client, service: FakeService, tmp_path: Path
) -> None:
    await client.add(
        {
            "CERT_STORAGE": s("NSSDB"),
            "CERT_LOCATION": s(f"sql:{tmp_path}//./"),
            "CERT_NICKNAME": s("n"),
            "CERT_TOKEN": s("t"),
        }
    )

    storage = only(service).cert_storage
    assert (storage.location, storage.nickname, storage.token) == (f"sql:{tmp_path}", "n", "t")


async def test_hooks_belong_to_the_caller(
    nobodys_api: CertmongerApi, service: FakeService, base: dict[str, Variant]
) -> None:
    await Client(nobodys_api, Caller(uid=65534, pid=99)).add(base | {"cert-presave-command": s("/bin/true")})

    assert only(service).pre_save == Hook(command="/bin/true", uid="65534")


async def test_an_empty_hook_is_no_hook(client: Client, service: FakeService, base: dict[str, Variant]) -> None:
    await client.add(base | {"cert-postsave-command": s("")})

    assert only(service).post_save == Hook()


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("SUBJECT", s("CN=a,OU"), "SUBJECT"),
        ("template-subject", s("NOSUCHTYPE=x"), "SUBJECT"),
        ("EKU", texts("serverauthentication"), "EKU"),
        ("KU", s("12"), "KU"),
        ("template-ip-address", texts("300.1.1.1"), "template-ip-address"),
        ("template-ca-path-length", x(-2), "template-ca-path-length"),
        ("cert-perms", x(-1), "cert-perms"),
        ("key-perms", x(0o10000), "key-perms"),
        ("NICKNAME", s("two\nlines"), "NICKNAME"),
    ],
)
async def test_what_can_never_work_is_refused(
    key: str, value: Variant, named: str, client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    name, body = await client.error(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (base | {key: value},))

    assert name == "org.fedorahosted.certmonger.bad_arg"
    assert body[1] == named
    assert not service.requests()


async def test_key_and_certificate_are_compared_as_files(
    client: Client, base: dict[str, Variant], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    entries = base | {"KEY_STORAGE": s("FILE"), "KEY_LOCATION": s(f"{tmp_path}/link/a.crt")}

    _, body = await client.error(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (entries,))

    assert body == ("Key and certificate can not both be saved to the same file.", "KEY_LOCATION")


async def test_a_certificate_does_not_replace_another_requests_key(
    client: Client, with_key: dict[str, Variant], tmp_path: Path
) -> None:
    await client.add(with_key)

    name, body = await client.error(
        ROOT_PATH,
        ROOT_INTERFACE,
        "add_request",
        "a{sv}",
        ({"CERT_STORAGE": s("FILE"), "CERT_LOCATION": s(f"{tmp_path}/a.key")},),
    )

    assert (name, body[1]) == ("org.fedorahosted.certmonger.duplicate", ("CERT_LOCATION",))


async def test_two_adds_at_once_do_not_both_get_the_nickname(
    client: Client, service: FakeService, base: dict[str, Variant], tmp_path: Path
) -> None:
    service.gate = asyncio.Event()
    wishes = [
        base | {"NICKNAME": s("one")},
        base | {"NICKNAME": s("ONE"), "CERT_LOCATION": s(f"{tmp_path}/b.crt")},
    ]
    calls = [
        asyncio.create_task(client.reply(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (wish,))) for wish in wishes
    ]
    # Whichever checked its place last is refused while the other one is still being stored.
    (refused,), (being_stored,) = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert refused.result().error_name == "org.fedorahosted.certmonger.duplicate"
    service.gate.set()

    assert (await being_stored).body == (True, f"{ROOT_PATH}/requests/Request1")


async def test_a_failure_to_store_is_told_and_reserves_nothing(
    client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    service.failure = disk_full()
    failed = await client.reply(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (base,))
    service.failure = None

    assert failed.kind is MessageKind.ERROR
    assert failed.error_name == "org.fedorahosted.certmonger.internal"
    assert "No space left" in str(failed.body[0])
    assert await client.add(base) in service.requests()


PERMISSIONS = """
import os, sys
from certmongerd.busapi.locations import Places, check_database
from certmongerd.busapi.refusal import CallRefused
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for check, location in ((Places().check_file, sys.argv[1] + "/a.crt"), (check_database, "sql:" + sys.argv[1])):
    try:
        check(location, "CERT_LOCATION")
    except CallRefused as refusal:
        print(refusal.body[0])
"""


def test_missing_permissions_are_called_that() -> None:
    """Root may access everything, so nobody tries."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)

        finished = subprocess.run(
            [sys.executable, "-c", PERMISSIONS, folder], capture_output=True, text=True, check=False
        )

    assert finished.stderr == ""
    assert finished.stdout.splitlines() == [
        f'The parent of location "{folder}/a.crt" could not be accessed due to insufficient permissions.',
        f'The location "sql:{folder}" could not be accessed due to insufficient permissions.',
    ]


async def test_object_paths_serve_as_texts(client: Client, service: FakeService, base: dict[str, Variant]) -> None:
    ca = await service.add_ca(Ca(id=CaName("local")))
    await client.add(base | {"CA": Variant("o", ca)})

    assert only(service).ca_name == "local"
