"""Reading what CAs tell about themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.ca_data import (
    REQUIREMENT_PROPERTIES,
    CaData,
    EncryptionCerts,
    Phase,
    Roots,
    Text,
    Words,
    apply_data,
    read_encryption_certs,
    read_requirements,
    read_text_phase,
    read_words,
    split_pem,
)
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, NamedCertificate

CA = Ca(id=CaName("ca"))
ROOT = NamedCertificate(nickname="root", pem="R")


def pem(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", ()),
        (b"\n,\r\n , ", ()),
        (b"a,b\nc\r\nd", ("a", "b", "c", "d")),
        (b" a b , c ", ("a b", "c")),
        (b"POSTPKIOperation\nSHA-256\n", ("POSTPKIOperation", "SHA-256")),
        (b"\xff", ("�",)),
    ],
)
def test_lists_are_split_at_commas_and_line_ends(output: bytes, words: tuple[str, ...]) -> None:
    assert read_words(output) == words


def test_requirements_become_properties_and_unknown_ones_are_dropped() -> None:
    output = b"certmonger_req_subject,CERTMONGER_SCEP_RA_CERTIFICATE\nCertmonger_CA_Profile\n,X"
    assert read_requirements(output) == ("template-subject", "template-profile")


def test_every_requirement_has_its_property() -> None:
    output = "\n".join(REQUIREMENT_PROPERTIES).encode()
    assert read_requirements(output) == (
        "template-subject",
        "template-hostname",
        "template-principal",
        "template-email",
        "template-ip-address",
        "template-profile",
    )


def test_scep_certificates_are_for_encryption_the_ca_and_the_rest_in_that_order() -> None:
    output = "".join(map(pem, "abcd")).encode()
    assert read_encryption_certs(output) == EncryptionCerts(ra=pem("a"), ca=pem("b"), pool=pem("c") + pem("d"))
    assert read_encryption_certs(pem("a").encode()) == EncryptionCerts(ra=pem("a"))
    assert read_encryption_certs(b"") == EncryptionCerts()


@pytest.mark.parametrize("around", ["", "text\n", "\r\n\r\n"])
def test_pem_blocks_are_found_in_any_text(around: str) -> None:
    text = around + pem("a") + around + pem("b").replace("\n", "\r\n") + around
    assert split_pem(text) == [pem("a"), pem("b")]


def test_an_unfinished_pem_block_is_no_certificate() -> None:
    assert split_pem(pem("a") + "-----BEGIN CERTIFICATE-----\nb\n") == [pem("a")]
    assert split_pem("-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----") == []


@given(st.binary())
def test_any_output_can_be_read(output: bytes) -> None:
    read_encryption_certs(output)
    for phase in set(Phase) - {Phase.CERTS, Phase.ENCRYPTION_CERTS}:
        data = read_text_phase(phase, output)
        assert apply_data(CA, phase, data) == apply_data(apply_data(CA, phase, data), phase, data)


@pytest.mark.parametrize(
    ("phase", "data", "attribute", "value"),
    [
        (Phase.IDENTIFY, Text("me"), "aka", "me"),
        (Phase.DEFAULT_PROFILE, Text("p"), "default_profile", "p"),
        (Phase.PROFILES, Words(("p", "q")), "profiles", ("p", "q")),
        (Phase.ENROLLMENT_REQS, Words(("s",)), "required_enroll_attributes", ("s",)),
        (Phase.RENEWAL_REQS, Words(("s",)), "required_renewal_attributes", ("s",)),
        (Phase.CAPABILITIES, Words(("AES",)), "capabilities", ("AES",)),
        (Phase.CERTS, Roots(roots=(ROOT,)), "root_certs", (ROOT,)),
        (Phase.CERTS, Roots(other_roots=(ROOT,)), "other_root_certs", (ROOT,)),
        (Phase.CERTS, Roots(others=(ROOT,)), "other_certs", (ROOT,)),
        (Phase.ENCRYPTION_CERTS, EncryptionCerts(ra="r"), "encryption_cert", "r"),
        (Phase.ENCRYPTION_CERTS, EncryptionCerts(ca="c"), "encryption_issuer_cert", "c"),
        (Phase.ENCRYPTION_CERTS, EncryptionCerts(pool="p"), "encryption_cert_pool", "p"),
    ],
)
def test_each_phase_fills_its_part_of_the_ca(phase: Phase, data: CaData, attribute: str, value: object) -> None:
    assert getattr(apply_data(CA, phase, data), attribute) == value


def test_data_of_another_phase_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="Roots is no data of phase IDENTIFY"):
        apply_data(CA, Phase.IDENTIFY, Roots())


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.IDENTIFY, Text("a,CERTMONGER_REQ_EMAIL")),
        (Phase.DEFAULT_PROFILE, Text("a,CERTMONGER_REQ_EMAIL")),
        (Phase.PROFILES, Words(("a", "CERTMONGER_REQ_EMAIL", "b"))),
        (Phase.CAPABILITIES, Words(("a", "CERTMONGER_REQ_EMAIL", "b"))),
        (Phase.ENROLLMENT_REQS, Words(("template-email",))),
        (Phase.RENEWAL_REQS, Words(("template-email",))),
    ],
)
def test_the_same_output_means_something_else_in_each_phase(phase: Phase, expected: CaData) -> None:
    assert read_text_phase(phase, b"a,CERTMONGER_REQ_EMAIL\nb\n") == expected


def test_phases_are_named_as_helpers_know_them() -> None:
    assert [phase.value for phase in Phase] == [
        "IDENTIFY",
        "FETCH-ROOTS",
        "GET-SUPPORTED-TEMPLATES",
        "GET-DEFAULT-TEMPLATE",
        "GET-NEW-REQUEST-REQUIREMENTS",
        "GET-RENEW-REQUEST-REQUIREMENTS",
        "FETCH-SCEP-CA-CAPS",
        "FETCH-SCEP-CA-CERTS",
        "GET-RENEWAL-INFO",
    ]
