"""Enrolment with every kind of server: its certificates, what it says it can do, how it is reached."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest
from fakes.scep_authority import Authority, ca_with_ra, single_ca
from fakes.scep_responder import (
    ALL_CAPABILITIES,
    Answer,
    Responder,
    Scenario,
    certificates_answer,
)
from scep_material import CERT_SIGN, certificate, pem, rsa_key
from scep_rig import (
    NOT_ASKED_YET,
    ScepRig,
    chain_of,
    intermediate_with_ra,
    root_and_intermediate,
    tls_server,
)

NO_NEXT = Answer(body=ALL_CAPABILITIES.replace(b"GetNextCACert\n", b""))
OLD = Answer(status=404)


def deep(chain: Answer | None = None) -> Scenario:
    """RA, intermediate and root; the root only by GetCACertChain when *chain* is None."""
    root, authority = intermediate_with_ra()
    members = [authority.ra.certificate, authority.ca.certificate]
    if chain is None:
        return Scenario(
            authority=authority,
            capabilities=NO_NEXT,
            certificates=certificates_answer(*members),
            chain=chain_of(root.certificate),
        )
    members.append(root.certificate)
    return Scenario(authority=authority, capabilities=NO_NEXT, certificates=certificates_answer(*members))


def middle_only(chain: Answer | None = None) -> Scenario:
    """An intermediate that does everything; the root by GetCACertChain."""
    root, middle = root_and_intermediate()
    authority = Authority(ca=middle, ra=middle)
    return Scenario(authority=authority, capabilities=NO_NEXT, chain=chain or chain_of(root.certificate))


def one_by_one() -> Scenario:
    """A server of draft 2, which hands out its certificates by number."""
    root, authority = intermediate_with_ra()
    members = (authority.ra.certificate, authority.ca.certificate, root.certificate)
    answers = {str(index): certificates_answer(each) for index, each in enumerate(members)}
    return Scenario(authority=authority, capabilities=OLD, certificates=answers)


@pytest.mark.parametrize(
    ("name", "scenario", "fetches"),
    [
        ("B1", Scenario(authority=ca_with_ra(), capabilities=NO_NEXT), ["GetCACert"]),
        ("B2", Scenario(authority=single_ca(), capabilities=NO_NEXT), ["GetCACert"]),
        ("B3", Scenario(authority=single_ca((CERT_SIGN, "crl_sign")), capabilities=NO_NEXT), ["GetCACert"]),
        ("B7", deep(OLD), ["GetCACert"]),
        ("B8", deep(), ["GetCACert", "GetCACertChain"]),
        ("B9", middle_only(), ["GetCACert", "GetCACertChain"]),
        ("B10-404", middle_only(OLD), ["GetCACert", "GetCACertChain", "GetCACert"]),
        ("B10-500", middle_only(Answer(status=500)), ["GetCACert", "GetCACertChain", "GetCACert"]),
        ("B10-html", middle_only(Answer(body=b"<html>")), ["GetCACert", "GetCACertChain", "GetCACert"]),
        ("B11", one_by_one(), ["GetCACert", "GetCACertChain", *["GetCACert"] * 3]),
    ],
)
def test_a_certificate_is_issued_with_nothing_given_by_hand(
    rig: ScepRig, name: str, scenario: Scenario, fetches: Sequence[str]
) -> None:
    rig.enrol(name, scenario)
    rig.assert_issued(name)
    asked = scenario.operations
    assert [operation for operation in asked if operation.startswith("GetCACert")] == fetches
    assert asked[-2:] == ["GetCACaps", "PKIOperation"]
    assert asked.count("PKIOperation") == 1
    assert scenario.types == ["19"]
    assert scenario.seen[-1].method == ("GET" if scenario.capabilities is OLD else "POST")


def test_a_url_keeps_its_query_and_the_identifier_its_characters(rig: ScepRig) -> None:
    scenario = Scenario(authority=ca_with_ra(), capabilities=NO_NEXT)
    url = rig.responder.add("B14", scenario)
    added = rig.daemon.getcert("add-scep-ca", "-c", "B14", "-u", f"{url}?profile=x", "-i", "my CA & co")
    assert added.returncode == 0, added.stdout
    rig.request("B14")
    rig.assert_issued("B14")
    assert all(seen.raw_query.startswith("profile=x&operation=") for seen in scenario.seen)
    fetches = [seen for seen in scenario.seen if seen.operation != "PKIOperation"]
    assert {seen.message for seen in fetches} == {"my CA & co"}
    assert all("my CA & co" in unquote(seen.raw_query) and "+" not in seen.raw_query for seen in fetches)


# --- https


def test_every_request_to_an_https_server_trusts_the_file_given_and_no_other(rig: ScepRig, tmp_path: Path) -> None:
    context, ca_file = tls_server(tmp_path, "localhost")
    (tmp_path / "foreign.pem").write_text(pem(certificate("Foreign", rsa_key("foreign"), ca=True)))
    with Responder(context) as secured:
        right, wrong = Scenario(authority=ca_with_ra()), Scenario(authority=ca_with_ra())
        for name, scenario, file in (("B12", right, ca_file), ("B13", wrong, tmp_path / "foreign.pem")):
            url = secured.add(name, scenario, host="localhost")
            added = rig.daemon.getcert("add-scep-ca", "-c", name, "-u", url, "-R", file)
            assert added.returncode == 0, added.stdout
            rig.request(name)
        rig.assert_issued("B12")
        shown = rig.daemon.listing("B13")
        assert (shown["status"], shown["stuck"]) == (NOT_ASKED_YET, "no")
        assert "certificate verify failed" in rig.daemon.getcert("why", "-i", "B13").stdout
        assert wrong.seen == []


def test_a_host_name_that_the_servers_certificate_does_not_have_gets_no_request(rig: ScepRig, tmp_path: Path) -> None:
    context, ca_file = tls_server(tmp_path, "other.example.org")
    with Responder(context) as secured:
        scenario = Scenario(authority=ca_with_ra())
        url = secured.add("B13-name", scenario, host="localhost")
        rig.daemon.getcert("add-scep-ca", "-c", "B13-name", "-u", url, "-R", ca_file)
        shown = rig.request("B13-name")
        assert shown["status"] == NOT_ASKED_YET
        assert "Hostname mismatch" in rig.daemon.getcert("why", "-i", "B13-name").stdout
        assert scenario.seen == []


def test_https_wants_a_ca_file_or_the_hosts_store_on_request(rig: ScepRig, tmp_path: Path) -> None:
    """The host's store does not have the test's CA, so the server is not trusted; it never goes without a check."""
    context, _ = tls_server(tmp_path, "localhost")
    with Responder(context) as secured:
        scenario = Scenario(authority=ca_with_ra())
        url = secured.add("trust", scenario, host="localhost")
        refused = rig.daemon.getcert("add-scep-ca", "-c", "trust", "-u", url)
        assert refused.returncode == 1
        assert "HTTPS requires a CA certificate" in refused.stdout + refused.stderr
        added = rig.daemon.getcert("add-scep-ca", "-c", "trust", "-u", url, "--system-trust")
        assert added.returncode == 0, added.stdout
        assert rig.request("trust")["status"] == NOT_ASKED_YET
        assert "certificate verify failed" in rig.daemon.getcert("why", "-i", "trust").stdout
        assert scenario.seen == []


# --- capabilities and settings

LISTS = [
    ("P1", Answer(body=ALL_CAPABILITIES), (), "aes128 sha256 POST"),
    ("P2-aes", Answer(body=b"AES\nDES3"), (), "aes128 sha1 GET"),
    ("P2-des3", Answer(body=b"DES3\nAES"), (), "aes128 sha1 GET"),
    ("P3", Answer(body=b"DES3"), (), "des3 sha1 GET"),
    ("P4", Answer(body=b"SHA-1\nDES3"), (), "des3 sha1 GET"),
    ("P5", Answer(body=b"SHA-512"), (), "des3 sha512 GET"),
    ("P6", Answer(body=b"SCEPStandard"), (), "aes128 sha256 POST"),
    ("P7", Answer(body=b"AES-128\nSHA-256"), (), "aes128 sha256 GET"),
    ("P8", Answer(body=b"AES192\nSHA-256"), (), "aes192 sha256 GET"),
    ("P9", Answer(body=ALL_CAPABILITIES.lower()), (), "aes128 sha256 POST"),
    ("P10-empty", Answer(body=b""), (), "des3 sha1 GET"),
    ("P10-html", Answer(body=b"<html>" + b" " * 2000), (), "des3 sha1 GET"),
    ("P10-404", OLD, (), "des3 sha1 GET"),
    ("P10-close", Answer(behaviour="close"), (), "des3 sha1 GET"),
    ("P11", Answer(body=b"AES  \r\n SHA-256\r\nNews\r\n"), (), "aes128 sha256 GET"),
    ("P12-aes", Answer(body=b""), ("--scep-cipher", "aes256", "--scep-digest", "SHA1"), "aes256 sha1 GET"),
    ("P12-des", Answer(body=b"AES"), ("--scep-cipher", "DES", "--scep-digest", "md5"), "des md5 GET"),
]


@pytest.mark.parametrize(("name", "capabilities", "settings", "expected"), LISTS, ids=[each[0] for each in LISTS])
def test_algorithms_and_method_follow_from_capabilities_and_settings(
    rig: ScepRig, name: str, capabilities: Answer, settings: Sequence[str], expected: str
) -> None:
    scenario = Scenario(authority=ca_with_ra(), capabilities=capabilities)
    rig.add_ca(name, scenario, *settings)
    rig.request(name)
    rig.assert_issued(name)
    (request,) = scenario.received
    assert f"{request.cipher} {request.digest} {scenario.seen[-1].method}" == expected


@pytest.mark.parametrize(("setting", "value"), [("--scep-cipher", "ROT13"), ("--scep-digest", "CRC32")])
def test_an_unknown_cipher_or_digest_is_refused_when_it_is_set(rig: ScepRig, setting: str, value: str) -> None:
    name = f"P13{setting}"
    url = rig.responder.add(name, Scenario(authority=ca_with_ra()))
    refused = rig.daemon.getcert("add-scep-ca", "-c", name, "-u", url, setting, value)
    assert refused.returncode == 1
    assert value in refused.stdout + refused.stderr
    assert name not in rig.daemon.getcert("list-cas").stdout
    assert rig.daemon.getcert("add-scep-ca", "-c", name, "-u", url).returncode == 0
    changed = rig.daemon.getcert("modify-ca", "-c", name, setting, value)
    assert changed.returncode == 1
    assert value in changed.stdout + changed.stderr
    rig.request(name)
    rig.assert_issued(name)


def test_a_server_that_refuses_post_although_it_offers_it_is_asked_by_get(rig: ScepRig) -> None:
    scenario = Scenario(
        authority=ca_with_ra(),
        capabilities=Answer(body=b"POSTPKIOperation\nAES\nSHA-256"),
        refusals={"POST": Answer(status=405)},
    )
    rig.enrol("P14", scenario)
    rig.assert_issued("P14")
    assert [seen.method for seen in scenario.seen if seen.operation == "PKIOperation"] == ["POST", "GET"]
