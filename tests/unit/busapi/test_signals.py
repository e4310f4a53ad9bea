"""Signals: one per change, with what changed and nothing secret."""

from dataclasses import replace

import pytest
from fakes.caller import Client, Recorder, b, s
from fakes.service import FakeService

from certmongerd.api import OBJECT_MANAGER_INTERFACE, PROPERTIES_INTERFACE, REQUEST_INTERFACE, ROOT_PATH
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca
from certmongerd.core.states import State

pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture
async def path(client: Client, with_key: dict[str, Variant]) -> ObjectPath:
    return ObjectPath(await client.add(with_key))


async def test_each_transition_is_one_signal_with_what_changed(
    api: CertmongerApi, service: FakeService, path: ObjectPath
) -> None:
    recorder = Recorder(api)

    service.set_state(path, State.NEED_KEY_PAIR)
    service.set_state(path, State.NEED_CA)
    service.set_request(path, replace(service.requests()[path], csr="CSR", state=State.HAVE_CSR))

    assert recorder.changes() == [
        ({"status": "NEED_KEY_PAIR"}, ()),
        ({"status": "NEED_CA", "stuck": True}, ()),
        ({"status": "HAVE_CSR", "stuck": False, "csr": "CSR"}, ()),
    ]
    first = recorder.signals[0]
    assert (first.path, first.interface, first.signature) == (path, PROPERTIES_INTERFACE, "sa{sv}as")
    assert first.body[0] == REQUEST_INTERFACE


async def test_what_comes_from_two_fields_is_announced_once(api: CertmongerApi, service: FakeService) -> None:
    ca = Ca(id=CaName("c"))
    path = await service.add_ca(ca)
    await service.change_ca(path, lambda _: replace(ca, error="one", deployment_error="other"), refetch=False)
    recorder = Recorder(api)

    await service.change_ca(path, lambda _: ca, refetch=False)

    assert recorder.changes() == [({}, ("ca-error",))]


async def test_what_became_unset_is_invalidated(api: CertmongerApi, service: FakeService, path: ObjectPath) -> None:
    service.set_request(path, replace(service.requests()[path], ca_error="oops", csr="x"))
    recorder = Recorder(api)

    service.set_request(path, replace(service.requests()[path], ca_error=""))

    assert recorder.changes() == [({}, ("ca-error",))]


async def test_a_change_nobody_can_see_is_no_signal(api: CertmongerApi, service: FakeService, path: ObjectPath) -> None:
    recorder = Recorder(api)

    service.set_request(path, replace(service.requests()[path], spkac="internal"))

    assert recorder.signals == []


@pytest.mark.parametrize("name", ["key-pin", "template-challenge-password"])
async def test_secrets_are_announced_without_their_value(
    name: str, api: CertmongerApi, client: Client, path: ObjectPath
) -> None:
    """Every local user may listen to signals."""
    recorder = Recorder(api)

    await client.set(path, name, s("sesame"))
    await client.modify(path, {name: s("sesame2")})

    own = [signal.body for signal in recorder.signals if signal.body[0] == REQUEST_INTERFACE]
    assert [name in body[2] for body in own] == [True, True]  # type: ignore[operator]
    assert "sesame" not in repr(recorder.signals)


async def test_a_new_request_is_announced_without_secrets(
    api: CertmongerApi, client: Client, with_key: dict[str, Variant]
) -> None:
    recorder = Recorder(api)

    path = await client.add(with_key | {"KEY_PIN": s("sesame")})

    (added,) = recorder.signals
    assert (added.path, added.interface, added.member) == (ROOT_PATH, OBJECT_MANAGER_INTERFACE, "InterfacesAdded")
    assert added.body[0] == path
    assert "sesame" not in repr(added)
    assert "key-pin" not in repr(added).replace("key-pin-file", "")


async def test_removal_is_announced(api: CertmongerApi, service: FakeService, path: ObjectPath) -> None:
    recorder = Recorder(api)

    await service.remove_request(path)

    (removed,) = recorder.signals
    assert removed.member == "InterfacesRemoved"
    assert removed.body[0] == path


async def test_managed_objects_hold_everything_but_secrets(
    client: Client, service: FakeService, path: ObjectPath
) -> None:
    await client.set(path, "key-pin", s("sesame"))
    ca = await service.add_ca(Ca(id=CaName("local")))

    (objects,) = await client.call(ROOT_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects")

    assert isinstance(objects, dict)
    assert set(objects) == {path, ca}
    assert objects[path][REQUEST_INTERFACE]["status"] == s("NEWLY_ADDED")
    assert "sesame" not in repr(objects)


async def test_a_saved_certificate_has_its_own_signal(
    api: CertmongerApi, service: FakeService, path: ObjectPath
) -> None:
    recorder = Recorder(api)

    service.save_certificate(path)

    (saved,) = recorder.signals
    assert (saved.path, saved.interface, saved.member) == (path, REQUEST_INTERFACE, "SavedCertificate")
    assert saved.body == ()


async def test_set_announces_once_even_when_nothing_changed(
    api: CertmongerApi, client: Client, path: ObjectPath
) -> None:
    recorder = Recorder(api)

    await client.set(path, "nss-user", s("web"))
    await client.set(path, "nss-user", s("web"))

    assert recorder.changes() == [({"nss-user": "web"}, ()), ({"nss-user": "web"}, ())]


async def test_a_ca_that_appears_is_announced_by_its_requests(
    api: CertmongerApi, service: FakeService, path: ObjectPath
) -> None:
    service.set_request(path, replace(service.requests()[path], ca_name=CaName("late")))
    recorder = Recorder(api)

    ca = await service.add_ca(Ca(id=CaName("late")))
    await service.remove_ca(ca)

    assert recorder.changes() == [({"ca": ca}, ()), ({}, ("ca",))]


async def test_ca_changes_are_announced(api: CertmongerApi, service: FakeService) -> None:
    path = await service.add_ca(Ca(id=CaName("local")))
    recorder = Recorder(api)

    await service.change_ca(path, lambda ca: replace(ca, profiles=("server",), error="oops"), refetch=False)
    await service.change_ca(path, lambda ca: replace(ca, error=""), refetch=False)

    assert recorder.changes() == [
        ({"ca-error": "oops", "supported-profiles": ("server",)}, ()),
        ({}, ("ca-error",)),
    ]


async def test_whoever_left_gets_nothing(
    api: CertmongerApi, client: Client, service: FakeService, path: ObjectPath
) -> None:
    recorder = Recorder(api)
    api.detach(recorder)

    service.set_state(path, State.NEED_KEY_PAIR)
    await client.modify(path, {"TRACK": b(False)})

    assert recorder.signals == []
