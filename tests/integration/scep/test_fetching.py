"""Capabilities and certificates over HTTP: what scep-submit prints for what servers answer."""

from itertools import permutations
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import Authority, Identity, ca_with_ra, single_ca
from fakes.scep_cms import certificates_only, indefinite, sign
from fakes.scep_responder import (
    BAG_TYPE,
    CHAIN_TYPE,
    SINGLE_TYPE,
    Answer,
    Responder,
    Scenario,
    certificates_answer,
)
from scep_material import certificate, ec_key, pem, rsa_key
from scep_run import RunHelper

from certmonger_helpers.scep.server import operation_url
from certmongerd.scep.bag import certificates_in

CAPS = "FETCH-SCEP-CA-CAPS"
CERTS = "FETCH-SCEP-CA-CERTS"
OLD = Answer(status=404)
"""A server from before GetCACaps."""


def printed(output: str) -> list[x509.Certificate]:
    assert output.startswith("-----BEGIN CERTIFICATE-----")
    return list(certificates_in(output.encode()))


def intermediate() -> tuple[Authority, x509.Certificate]:
    """An intermediate that does everything, and its root."""
    root_key, key = rsa_key("responder CA"), rsa_key("responder RA")
    root = certificate("Root", root_key, ca=True)
    middle = certificate("Intermediate", key, issuer=root, issuer_key=root_key, ca=True)
    identity = Identity(key=key, certificate=middle)
    return Authority(ca=identity, ra=identity), root


# --- capabilities


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        (Answer(body=b"AES\r\n SHA-256 \r\nNews\r\n"), 0, "AES\nSHA-256\nNews\n"),
        (Answer(body=b"aes,renewal"), 0, "aes\nrenewal\n"),
        (Answer(body=b""), 0, ""),
        (Answer(status=404), 2, None),
        (Answer(body=b"<html><body>Welcome</body></html>"), 2, None),
        (Answer(body=b"AES\n" * 300), 2, None),
        (Answer(status=500), 3, None),
        (Answer(status=503), 3, None),
        (Answer(status=429), 3, None),
        (Answer(behaviour="close"), 3, None),
    ],
)
def test_capabilities_are_printed_as_spelled(
    responder: Responder, helper: RunHelper, answer: Answer, status: int, output: str | None
) -> None:
    url = responder.add("caps", Scenario(authority=single_ca(), capabilities=answer))
    finished = helper("-u", url, OPERATION=CAPS)
    assert finished.status == status
    if output is None:
        assert finished.first_line
    else:
        assert finished.output == output


@pytest.mark.parametrize(
    ("arguments", "variables", "sent"),
    [
        ((), {}, "0"),
        (("-i", "my CA & co"), {"SCEP_CA_IDENTIFIER": "other"}, "my CA & co"),
        ((), {"SCEP_CA_IDENTIFIER": "other"}, "other"),
        (("-i", ""), {}, ""),
    ],
)
def test_the_identifier_is_sent_with_every_fetch(
    responder: Responder, helper: RunHelper, arguments: tuple[str, ...], variables: dict[str, str], sent: str
) -> None:
    scenario = Scenario(authority=single_ca())
    url = responder.add("identifier", scenario)
    helper("-u", url, *arguments, OPERATION=CAPS, **variables)
    helper("-u", url, *arguments, OPERATION=CERTS, **variables)
    assert [seen.operation for seen in scenario.seen] == ["GetCACaps", "GetCACaps", "GetCACert", "GetNextCACert"]
    assert [seen.message for seen in scenario.seen] == [sent] * 4
    assert "+" not in scenario.seen[0].raw_query


def test_a_query_in_the_url_is_kept_and_a_fragment_dropped(responder: Responder, helper: RunHelper) -> None:
    scenario = Scenario(authority=single_ca())
    url = responder.add("query", scenario)
    helper("-u", f"{url}?profile=x#top", OPERATION=CAPS)
    assert scenario.seen[0].raw_query == "profile=x&operation=GetCACaps&message=0"


def test_messages_in_urls_have_no_characters_that_need_escaping() -> None:
    assert (
        operation_url("http://h/", "PKIOperation", "a+b/c=") == "http://h/?operation=PKIOperation&message=a%2Bb%2Fc%3D"
    )


# --- certificates


@pytest.mark.parametrize(
    "content_type", [BAG_TYPE, SINGLE_TYPE, "application/octet-stream", f"{BAG_TYPE}; charset=x", ""]
)
@pytest.mark.parametrize("form", ["DER", "BER", "PEM"])
def test_the_form_of_a_bag_is_told_by_its_content(
    responder: Responder, helper: RunHelper, content_type: str, form: str
) -> None:
    authority = ca_with_ra()
    body = {
        "DER": lambda: certificates_only(authority.certificates),
        "BER": lambda: certificates_only(authority.certificates, indefinite),
        "PEM": lambda: pem(*authority.certificates).encode(),
    }[form]()
    answer = Answer(content_type=content_type, body=body)
    url = responder.add("bag", Scenario(authority=authority, certificates=answer))
    finished = helper("-u", url, OPERATION=CERTS)
    assert finished.status == 0
    assert printed(finished.output) == [authority.ra.certificate, authority.ca.certificate]


def test_a_single_self_signed_certificate_is_printed_alone_without_asking_for_more(
    responder: Responder, helper: RunHelper
) -> None:
    authority = single_ca()
    scenario = Scenario(authority=authority, capabilities=OLD)
    finished = helper("-u", responder.add("single", scenario), OPERATION=CERTS)
    assert printed(finished.output) == [authority.ca.certificate]
    assert scenario.operations == ["GetCACaps", "GetCACert"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(status=404), 2),
        (Answer(status=403), 2),
        (Answer(status=500), 3),
        (Answer(status=503), 3),
        (Answer(body=b""), 3),
        (Answer(content_type=SINGLE_TYPE, body=b"garbage"), 3),
        (Answer(content_type=SINGLE_TYPE, body=b"\x30\x03\x02\x01\x01"), 3),
        (Answer(content_type=BAG_TYPE, body=certificates_only([])), 3),
        (Answer(content_type=BAG_TYPE, body=b"\x30" * (2 << 20)), 3),
    ],
)
def test_an_answer_without_certificates_is_explained(
    responder: Responder, helper: RunHelper, answer: Answer, status: int
) -> None:
    url = responder.add("none", Scenario(authority=single_ca(), certificates=answer))
    finished = helper("-u", url, OPERATION=CERTS)
    assert finished.status == status
    assert "GetCACert" in finished.first_line or "more than" in finished.first_line


def test_the_chain_is_fetched_once_when_nothing_is_self_signed(responder: Responder, helper: RunHelper) -> None:
    authority, root = intermediate()
    chain = Answer(content_type=CHAIN_TYPE, body=certificates_only([root]))
    scenario = Scenario(authority=authority, chain=chain, capabilities=OLD)
    finished = helper("-u", responder.add("chain", scenario), OPERATION=CERTS)
    assert printed(finished.output) == [authority.ra.certificate, root]
    assert scenario.operations == ["GetCACaps", "GetCACert", "GetCACertChain"]


@pytest.mark.parametrize(
    "chain", [Answer(status=404), Answer(status=500), Answer(body=b"<html>"), Answer(behaviour="close")]
)
def test_a_missing_chain_is_no_failure(responder: Responder, helper: RunHelper, chain: Answer) -> None:
    authority, _ = intermediate()
    url = responder.add("nochain", Scenario(authority=authority, chain=chain))
    finished = helper("-u", url, "-i", "named", OPERATION=CERTS)
    assert printed(finished.output) == [authority.ra.certificate]


def test_certificates_handed_out_one_by_one_are_all_fetched(responder: Responder, helper: RunHelper) -> None:
    root_key, middle_key = rsa_key("responder CA"), rsa_key("middle")
    root = certificate("Root", root_key, ca=True)
    middle = certificate("Middle", middle_key, issuer=root, issuer_key=root_key, ca=True)
    ra_key = rsa_key("responder RA")
    ra = certificate("RA", ra_key, issuer=middle, issuer_key=middle_key)
    authority = Authority(ca=Identity(key=root_key, certificate=root), ra=Identity(key=ra_key, certificate=ra))
    answers = {str(index): certificates_answer(each) for index, each in enumerate((ra, middle, root))}
    scenario = Scenario(authority=authority, certificates=answers)
    finished = helper("-u", responder.add("walk", scenario), OPERATION=CERTS)
    assert printed(finished.output) == [ra, root, middle]
    assert [seen.message for seen in scenario.seen if seen.operation == "GetCACert"] == ["0", "1", "2", "3"]


def test_a_server_that_repeats_itself_ends_the_walk(responder: Responder, helper: RunHelper) -> None:
    authority, _ = intermediate()
    scenario = Scenario(authority=authority, capabilities=OLD)
    finished = helper("-u", responder.add("same", scenario), OPERATION=CERTS)
    assert finished.status == 0
    assert scenario.operations == ["GetCACaps", "GetCACert", "GetCACertChain", "GetCACert"]


def test_without_an_rsa_certificate_the_server_cannot_be_used(responder: Responder, helper: RunHelper) -> None:
    answer = certificates_answer(certificate("EC CA", ec_key("ca"), ca=True))
    url = responder.add("ec", Scenario(authority=single_ca(), certificates=answer))
    finished = helper("-u", url, OPERATION=CERTS)
    assert finished.status == 4
    assert "RSA" in finished.first_line


def test_certificates_obtained_elsewhere_win_over_the_servers(
    responder: Responder, helper: RunHelper, tmp_path: Path
) -> None:
    authority, other = ca_with_ra(), rsa_key("other RA")
    given = certificate("Given RA", other, issuer=authority.ca.certificate, issuer_key=authority.ca.key)
    foreign = certificate("Foreign CA", rsa_key("foreign"), ca=True)
    files = {"r": given, "N": authority.ca.certificate}
    for name, each in files.items():
        (tmp_path / name).write_bytes(each.public_bytes(Encoding.PEM))
    answer = certificates_answer(*authority.certificates, foreign)
    url = responder.add("given", Scenario(authority=authority, certificates=answer))
    finished = helper("-u", url, "-r", str(tmp_path / "r"), "-N", str(tmp_path / "N"), OPERATION=CERTS)
    assert printed(finished.output) == [given, authority.ca.certificate]


def test_the_order_of_the_answer_does_not_matter(responder: Responder, helper: RunHelper) -> None:
    authority = ca_with_ra()
    for number, order in enumerate(permutations(authority.certificates)):
        scenario = Scenario(authority=authority, certificates=certificates_answer(*order))
        finished = helper("-u", responder.add(f"order{number}", scenario), OPERATION=CERTS)
        assert printed(finished.output) == [authority.ra.certificate, authority.ca.certificate]


# --- the next certificates


def rollover(signer: Identity | None = None) -> tuple[Scenario, x509.Certificate]:
    """A single CA that announces its successor, signed by *signer* or itself."""
    authority = single_ca()
    coming = certificate("Test CA", rsa_key("next CA"), ca=True)
    by = signer or authority.ca
    body = sign(certificates_only([coming]), {}, by.key, by.certificate)
    answer = Answer(content_type="application/x-x509-next-ca-cert", body=body)
    return Scenario(authority=authority, next_certificates=answer), coming


def test_the_next_certificate_follows_the_present_one_which_keeps_both_roles(
    responder: Responder, helper: RunHelper
) -> None:
    scenario, coming = rollover()
    finished = helper("-u", responder.add("next", scenario), OPERATION=CERTS)
    blocks = finished.output.count("BEGIN CERTIFICATE")
    assert (blocks, printed(finished.output)) == (3, [scenario.authority.ca.certificate, coming])
    present = pem(scenario.authority.ca.certificate)
    assert finished.output.startswith(present * 2)


def test_a_next_certificate_that_the_present_one_did_not_sign_for_is_left_out(
    responder: Responder, helper: RunHelper
) -> None:
    key = rsa_key("foreign")
    scenario, _ = rollover(Identity(key=key, certificate=certificate("Foreign", key, ca=True)))
    finished = helper("-u", responder.add("forged", scenario), OPERATION=CERTS)
    assert printed(finished.output) == [scenario.authority.ca.certificate]


@pytest.mark.parametrize("answer", [Answer(status=404), Answer(body=b"<html>"), Answer(behaviour="close"), Answer()])
def test_without_a_next_certificate_the_present_ones_are_all(
    responder: Responder, helper: RunHelper, answer: Answer
) -> None:
    scenario = Scenario(authority=ca_with_ra(), next_certificates=answer)
    finished = helper("-u", responder.add("none", scenario), OPERATION=CERTS)
    assert printed(finished.output) == list(scenario.authority.certificates)
