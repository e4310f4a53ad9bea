"""modify: all of it or nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.caller import Client, Recorder, b, s, texts, x
from fakes.service import FakeService, disk_full

from certmongerd.api import REQUEST_INTERFACE
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca, Hook, KeyAlgorithm, Request
from certmongerd.core.secret import Secret


@pytest.fixture
async def path(client: Client, with_key: dict[str, Variant]) -> str:
    return await client.add(with_key | {"NICKNAME": s("one")})


def stored(service: FakeService, path: str) -> Request:
    return service.requests()[ObjectPath(path)]


async def test_it_answers_with_the_requests_own_path_and_restarts_it(
    client: Client, service: FakeService, path: str
) -> None:
    assert await client.modify(path, {"NICKNAME": s("renamed")}) == (True, path)

    assert stored(service, path).id == "renamed"
    assert service.restarted == [path]


async def test_every_list_goes_to_its_own_field(
    client: Client, service: FakeService, path: str, tmp_path: Path
) -> None:
    """certmonger writes other-cert-files into the databases."""
    here = str(tmp_path)
    await client.modify(path, {"other-cert-files": texts(here + "/o.pem"), "other-cert-nssdbs": texts(here)})

    locations = stored(service, path).ca_certs
    assert (locations.other_files, locations.other_dbs) == ((here + "/o.pem",), (here,))


async def test_the_present_nickname_is_no_duplicate(client: Client, service: FakeService, path: str) -> None:
    await client.modify(path, {"NICKNAME": s("one")})
    await client.modify(path, {"NICKNAME": s("ONE")})

    assert stored(service, path).id == "ONE"


@pytest.mark.parametrize("nickname", ["", "a\nb"])
async def test_a_nickname_that_cannot_be_stored_is_refused(nickname: str, client: Client, path: str) -> None:
    """certmonger takes it and cannot load the request any more."""
    name, body = await client.error(path, REQUEST_INTERFACE, "modify", "a{sv}", ({"NICKNAME": s(nickname)},))

    assert (name, body[1]) == ("org.fedorahosted.certmonger.bad_arg", "NICKNAME")


async def test_a_ca_is_chosen_by_path(client: Client, service: FakeService, path: str) -> None:
    ca = await service.add_ca(Ca(id=CaName("local")))
    await client.modify(path, {"ca": Variant("o", ca)})

    assert stored(service, path).ca_name == "local"


async def test_pin_and_pin_file_replace_each_other(client: Client, service: FakeService, path: str) -> None:
    await client.modify(path, {"key-pin": s("1234")})
    assert stored(service, path).key_storage.pin == Secret("1234")
    await client.modify(path, {"KEY_PIN_FILE": s("/pin")})
    assert (stored(service, path).key_storage.pin, stored(service, path).key_storage.pin_file) == (None, "/pin")
    await client.modify(path, {"key-pin-file": s("")})
    assert stored(service, path).key_storage.pin_file == ""


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"KEY_SIZE": x(100)}, (KeyAlgorithm.RSA, 1024)),
        ({"KEY_SIZE": x(4096)}, (KeyAlgorithm.RSA, 4096)),
        ({"KEY_TYPE": s("EC")}, (KeyAlgorithm.EC, 521)),
        ({"KEY_SIZE": x(256), "KEY_TYPE": s("EC")}, (KeyAlgorithm.EC, 256)),
        ({"key-type": s("ML-DSA-44")}, (KeyAlgorithm.ML_DSA_44, 0)),
        ({"key-size": x(2048), "key-type": s("Ed25519")}, (KeyAlgorithm.ED25519, 256)),
    ],
)
async def test_key_type_and_size_are_for_the_next_key(
    entries: dict[str, Variant],
    expected: tuple[KeyAlgorithm, int],
    client: Client,
    service: FakeService,
    path: str,
) -> None:
    """The size is raised to the minimum here too."""
    await client.modify(path, entries)

    key = stored(service, path).key
    assert (key.gen_type, key.gen_size) == expected
    assert (key.type, key.size) == (None, 0)


@pytest.mark.parametrize("other", ["EC", "Ed25519", "ML-DSA-44"])
async def test_going_back_to_rsa_gives_a_size_fit_for_rsa(
    other: str, client: Client, service: FakeService, path: str
) -> None:
    await client.modify(path, {"KEY_TYPE": s(other), "KEY_SIZE": x(256)})
    await client.modify(path, {"KEY_TYPE": s("RSA")})

    assert stored(service, path).key.gen_size == 2048


async def test_hooks_belong_to_whoever_set_them(
    nobodys_api: CertmongerApi, client: Client, service: FakeService, path: str
) -> None:
    await Client(nobodys_api, Caller(uid=65534)).modify(
        path, {"cert-presave-command": s("/bin/a"), "cert-postsave-command": s("/bin/b")}
    )
    await client.modify(path, {"cert-postsave-command": s("/bin/c")})

    assert stored(service, path).pre_save == Hook(command="/bin/a", uid="65534")
    assert stored(service, path).post_save == Hook(command="/bin/c", uid="0")

    await client.modify(path, {"cert-presave-command": s("")})
    assert stored(service, path).pre_save == Hook()


async def test_a_subject_copied_from_a_certificate_is_replaced(client: Client, service: FakeService, path: str) -> None:
    old = stored(service, path)
    service.set_request(
        ObjectPath(path), replace(old, template=replace(old.template, subject="CN=a", subject_der=b"0\0"))
    )
    await client.modify(path, {"SUBJECT": s("CN=a")})
    assert stored(service, path).template.subject_der == b"0\0"
    await client.modify(path, {"SUBJECT": s("CN=b")})
    assert stored(service, path).template.subject_der == b""


async def test_properties_certmonger_forgot_can_be_set(client: Client, service: FakeService, path: str) -> None:
    await client.modify(path, {"template-freshest-crl": texts("http://f"), "template-ns-certtype": s("client")})

    template = stored(service, path).template
    assert (template.freshest_crl, template.ns_certtype) == (("http://f",), "client")


async def test_a_list_of_nothing_but_empty_texts_clears(client: Client, service: FakeService, path: str) -> None:
    await client.modify(path, {"DNS": texts("a")})
    await client.modify(path, {"DNS": texts("")})

    assert stored(service, path).template.hostname == ()


async def test_success_is_announced_once_with_everything_named(api: CertmongerApi, client: Client, path: str) -> None:
    recorder = Recorder(api)

    await client.modify(path, {"TRACK": b(True), "ca-profile": s("server"), "cert-presave-command": s("/bin/a")})

    (changed,) = recorder.changes()
    assert changed == (
        {
            "monitoring": True,
            "template-profile": "server",
            "ca-profile": "server",
            "cert-presave-command": "/bin/a",
            "cert-presave-uid": "0",
        },
        (),
    )


async def test_naming_present_values_is_announced_too(api: CertmongerApi, client: Client, path: str) -> None:
    recorder = Recorder(api)

    await client.modify(path, {"TRACK": b(True), "SUBJECT": s("")})

    assert recorder.changes() == [({"monitoring": True}, ("template-subject",))]


async def test_a_failure_to_store_is_told_and_announces_nothing(
    api: CertmongerApi, client: Client, service: FakeService, path: str
) -> None:
    recorder = Recorder(api)
    service.failure = disk_full()

    name, _ = await client.error(path, REQUEST_INTERFACE, "modify", "a{sv}", ({"TRACK": b(False)},))

    assert name == "org.fedorahosted.certmonger.request.internal"
    assert recorder.signals == []
