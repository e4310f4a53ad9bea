from dataclasses import replace

from certmongerd.core.ids import Nickname, ObjectPath
from certmongerd.core.index import RequestIndex
from certmongerd.core.model import CertStorage, KeyStorage, Request, StorageType

ONE, OTHER = ObjectPath("/1"), ObjectPath("/2")


def request(name: str, cert: str = "", key: str = "") -> Request:
    return Request(
        id=Nickname(name),
        cert_storage=CertStorage(location=cert),
        key_storage=KeyStorage(type=StorageType.FILE, location=key),
    )


def test_a_request_is_found_by_its_nickname_in_any_case() -> None:
    index = RequestIndex()
    index.add(ONE, request("Web"))
    assert index.named("wEB") == (ONE,)
    assert index.named("other") == ()


def test_requests_are_found_by_where_they_keep_keys_and_certificates() -> None:
    index = RequestIndex()
    index.add(ONE, request("one", cert="/a.crt", key="/shared"))
    index.add(OTHER, request("other", cert="/shared", key="/b.key"))
    assert index.at("/a.crt") == (ONE,)
    assert index.at("/shared") == (ONE, OTHER)
    assert index.at("") == ()


def test_a_request_whose_places_change_is_found_at_the_new_ones_only() -> None:
    index, before = RequestIndex(), request("web", cert="/old.crt")
    after = replace(before, id=Nickname("mail"), cert_storage=CertStorage(location="/new.crt"))
    index.add(ONE, before)
    index.change(ONE, before, after)
    assert (index.named("web"), index.named("mail")) == ((), (ONE,))
    assert (index.at("/old.crt"), index.at("/new.crt")) == ((), (ONE,))


def test_a_request_that_is_gone_is_not_found() -> None:
    index, gone = RequestIndex(), request("web", cert="/web.pem", key="/web.pem")
    index.add(ONE, gone)
    index.discard(ONE, gone)
    assert (index.named("web"), index.at("/web.pem")) == ((), ())
