import itertools

import pytest
from cryptography import x509
from pki_material import certificate, ec_key, extended, raw_certificate

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Template
from certmongerd.pki import algorithms, der
from certmongerd.pki.certs import ParsedCertificate, parse_der_certificate
from certmongerd.pki.chains import is_issued_by, order_bag
from certmongerd.pki.issue import Extension
from certmongerd.pki.names import encode_name


def _ca(name: str, issuer: str) -> ParsedCertificate:
    return certificate(
        Template(subject=f"CN={name}", is_ca=True), key=ec_key(name), issuer=f"CN={issuer}", authority=ec_key(issuer)
    )


ROOT = _ca("Root", "Root")
UPPER = _ca("Upper", "Root")
LOWER = _ca("Lower", "Upper")
LEAF = certificate(Template(subject="CN=leaf"), issuer="CN=Lower", authority=ec_key("Lower"))


@pytest.mark.parametrize("bag", list(itertools.permutations([ROOT, UPPER, LOWER, LEAF])))
def test_any_order_becomes_the_chain(bag: tuple[ParsedCertificate, ...]) -> None:
    ordered = order_bag(bag)
    assert (ordered.leaf, ordered.chain, ordered.top) == (LEAF, (LOWER, UPPER, ROOT), ROOT)


def test_a_single_certificate_is_the_leaf() -> None:
    ordered = order_bag([LEAF])
    assert (ordered.leaf, ordered.chain, ordered.top) == (LEAF, (), None)


def test_a_root_alone_is_the_leaf() -> None:
    assert order_bag([ROOT]).leaf == ROOT


def test_an_empty_bag_is_refused() -> None:
    with pytest.raises(InvalidValue):
        order_bag(list[ParsedCertificate]())


def test_repeated_certificates_count_once() -> None:
    assert order_bag([LEAF, LOWER, LEAF, LOWER]).chain == (LOWER,)


def test_without_the_root_the_highest_one_is_the_top() -> None:
    ordered = order_bag([UPPER, LEAF, LOWER])
    assert (ordered.chain, ordered.top) == ((LOWER, UPPER), UPPER)


def test_unconnected_certificates_stand_behind_the_chain() -> None:
    stray = _ca("Stray", "Elsewhere")
    ordered = order_bag([stray, ROOT, LEAF, UPPER, LOWER])
    assert (ordered.leaf, ordered.top) == (LEAF, ROOT)
    assert ordered.chain == (LOWER, UPPER, ROOT, stray)


def test_a_leaf_is_rather_no_authority() -> None:
    assert order_bag([_ca("Stray", "Elsewhere"), LEAF]).leaf == LEAF


def test_certificates_in_a_ring_are_ordered_without_end() -> None:
    one, two = _ca("One", "Two"), _ca("Two", "One")
    ordered = order_bag([one, two])
    assert (ordered.leaf, *ordered.chain) in ((one, two), (two, one))


def test_the_library_s_certificates_are_ordered_too() -> None:
    bag = [x509.load_der_x509_certificate(entry.encoded) for entry in (ROOT, LEAF, UPPER, LOWER)]
    ordered = order_bag(bag)
    assert ordered.leaf is bag[1]
    assert ordered.chain == (bag[3], bag[2], bag[0])


def test_key_identifiers_decide_between_issuers_of_the_same_name() -> None:
    old = certificate(Template(subject="CN=Lower", is_ca=True), key=ec_key("old"))
    assert is_issued_by(LEAF, LOWER)
    assert not is_issued_by(LEAF, old)


def _naming(issuer: bytes, serial: bytes) -> ParsedCertificate:
    """A certificate whose authority key identifier holds only issuer and serial number."""
    value = der.sequence(der.encode(0xA1, der.encode(0xA4, issuer)), der.encode(0x82, serial))
    extension = Extension.build(algorithms.AUTHORITY_KEY_IDENTIFIER, value)
    return parse_der_certificate(
        raw_certificate(subject=encode_name("CN=leaf"), issuer=encode_name("CN=Raw"), extensions=extended(extension))
    )


def test_without_key_identifiers_issuer_and_serial_decide() -> None:
    name = encode_name("CN=Raw")
    parent = parse_der_certificate(raw_certificate(subject=name, serial=b"\x07"))
    assert is_issued_by(_naming(name, b"\x07"), parent)
    assert not is_issued_by(_naming(name, b"\x08"), parent)


def test_without_any_identifier_the_names_decide() -> None:
    parent = parse_der_certificate(raw_certificate(subject=encode_name("CN=Raw")))
    child = raw_certificate(subject=encode_name("CN=leaf"), issuer=encode_name("CN=Raw"))
    stranger = raw_certificate(subject=encode_name("CN=leaf"), issuer=encode_name("CN=Other"))
    assert is_issued_by(parse_der_certificate(child), parent)
    assert not is_issued_by(parse_der_certificate(stranger), parent)
