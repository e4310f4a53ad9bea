"""Which CA a request belongs to, and which CA certificates go where."""

from dataclasses import replace

import pytest
from fakes.request_world import facts, new_request

from certmongerd.core.choice import ca_certificate_files, choose_ca, find_ca, wants_ca_certs
from certmongerd.core.ids import NO_CA, CaName
from certmongerd.core.model import Ca, CaCertLocations, NamedCertificate, Request

ISSUER = 'CN=t,O="Org, Inc"'
ADOPTED = replace(new_request(), ca_name=NO_CA, cert_facts=replace(facts(), issuer=ISSUER))
FRESH = replace(new_request(), ca_name=NO_CA)


def ca(name: str, *issuers: str, is_default: bool = False) -> Ca:
    return Ca(id=CaName(name), issuer_names=issuers, is_default=is_default)


def named(*names: str) -> tuple[NamedCertificate, ...]:
    return tuple(NamedCertificate(nickname=name, pem=name.upper()) for name in names)


def test_the_issuer_of_the_present_certificate_comes_first() -> None:
    cas = [ca("a", ISSUER), ca("b", "CN=other"), ca("c", is_default=True)]
    assert choose_ca(ADOPTED, cas, CaName("d")) == "a"


def test_of_several_that_know_the_issuer_the_last_is_taken() -> None:
    assert choose_ca(ADOPTED, [ca("a", ISSUER), ca("b", "CN=x", ISSUER), ca("c")], NO_CA) == "b"


def test_an_issuer_has_to_be_spelled_exactly() -> None:
    assert choose_ca(ADOPTED, [ca("a", ISSUER.lower()), ca("b", ISSUER + " ")], NO_CA) == NO_CA


def test_an_issuer_that_is_not_known_does_not_match_an_empty_name() -> None:
    assert choose_ca(FRESH, [ca("a", "")], NO_CA) == NO_CA


@pytest.mark.parametrize("adopted_or_fresh", [ADOPTED, FRESH])
def test_otherwise_the_last_default_ca_is_taken(adopted_or_fresh: Request) -> None:
    cas = [ca("a", is_default=True), ca("b", is_default=True), ca("c")]
    assert choose_ca(adopted_or_fresh, cas, CaName("d")) == "b"


def test_otherwise_the_configuration_says_it_whether_or_not_that_ca_exists() -> None:
    assert choose_ca(FRESH, [ca("a")], CaName("d")) == "d"
    assert choose_ca(FRESH, [], NO_CA) == NO_CA


def test_a_ca_is_found_by_its_exact_name() -> None:
    cas = [ca("Local"), ca("local")]
    assert find_ca(cas, CaName("local")) is cas[1]
    assert find_ca(cas, CaName("LOCAL")) is None


FULL = replace(
    ca("a"),
    root_certs=named("root"),
    other_root_certs=named("other root"),
    other_certs=named("other"),
)
DELIVERED = replace(new_request(), cert_roots=named("delivered root"), cert_chain=named("chain"))


def test_each_file_gets_the_kinds_it_is_listed_for() -> None:
    places = CaCertLocations(root_files=("/r",), other_root_files=("/o",), other_files=("/x",))
    assert ca_certificate_files([places], FULL, DELIVERED) == {
        "/r": named("root", "delivered root"),
        "/o": named("other root"),
        "/x": named("other", "chain"),
    }


def test_a_file_listed_for_several_kinds_gets_all_of_them_in_order_and_once() -> None:
    doubled = replace(FULL, other_root_certs=named("root", "other root"))
    places = CaCertLocations(root_files=("/all",), other_root_files=("/all",), other_files=("/all",))
    assert ca_certificate_files([places, places], doubled, None) == {"/all": named("root", "other root", "other")}


def test_several_places_add_up() -> None:
    places = [CaCertLocations(root_files=("/r",)), CaCertLocations(other_files=("/r", "/x"))]
    assert ca_certificate_files(places, FULL, None) == {"/r": named("root", "other"), "/x": named("other")}


def test_certificates_of_one_nickname_are_told_apart_by_their_content() -> None:
    twins = (NamedCertificate(nickname="n", pem="1"), NamedCertificate(nickname="n", pem="2"))
    places = CaCertLocations(root_files=("/r",))
    assert ca_certificate_files([places], replace(FULL, root_certs=twins + twins), None) == {"/r": twins}


def test_a_file_for_which_there_is_nothing_is_left_alone() -> None:
    places = CaCertLocations(root_files=("/r",), other_root_files=("/o",))
    assert ca_certificate_files([places], ca("a"), None) == {}
    assert ca_certificate_files([places], None, DELIVERED) == {"/r": named("delivered root")}


def test_the_chain_of_a_certificate_is_not_trusted_as_a_root() -> None:
    places = CaCertLocations(root_files=("/r",))
    assert named("chain")[0] not in ca_certificate_files([places], FULL, DELIVERED)["/r"]


def test_an_adopted_request_wants_ca_certificates_when_there_are_some_of_its_kind() -> None:
    request = replace(new_request(), ca_name=CaName("a"), ca_certs=CaCertLocations(root_files=("/r",)))
    assert wants_ca_certs(request, [FULL])
    assert not wants_ca_certs(request, [replace(FULL, root_certs=())])
    assert not wants_ca_certs(request, [replace(FULL, id=CaName("b"))])
    assert not wants_ca_certs(replace(request, ca_certs=CaCertLocations()), [FULL])
