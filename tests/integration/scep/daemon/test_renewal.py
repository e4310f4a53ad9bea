"""Renewal and rekey: who signs, which type and transaction, which key opens the reply, what stays when it fails."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from fakes.scep_authority import Authority, Identity, ReplyPlan, ca_with_ra
from fakes.scep_cms import certificates_only
from fakes.scep_responder import Answer, Scenario
from scep_material import NOW, certificate, rsa_key
from scep_rig import ScepRig, running_rig

AUTHORITY = ca_with_ra()
RENEWING = Answer(body=b"Renewal\nAES\nSHA-256\nPOSTPKIOperation")
STANDARD = Answer(body=b"Renewal\nSCEPStandard")
PLAIN = Answer(body=b"AES\nSHA-256\nPOSTPKIOperation")


def held(rig: ScepRig, name: str, capabilities: Answer, *, options: tuple[str, ...] = ()) -> Scenario:
    """A request with its first certificate."""
    scenario = Scenario(authority=AUTHORITY, capabilities=capabilities)
    rig.add_ca(name, scenario, *options)
    rig.request(name, "-L", "secret")
    rig.assert_issued(name)
    return scenario


def key_of(rig: ScepRig, name: str) -> bytes:
    return (rig.daemon.certs / f"{name}.key").read_bytes()


@pytest.mark.parametrize(("capabilities", "message_type"), [(RENEWING, "19"), (STANDARD, "17")])
def test_a_renewal_is_signed_by_the_certificate_held_in_a_transaction_of_its_own(
    rig: ScepRig, capabilities: Answer, message_type: str
) -> None:
    name = f"R1-{message_type}"
    scenario = held(rig, name, capabilities)
    before, key = rig.certificate(name), key_of(rig, name)
    rig.again("resubmit", name)
    rig.assert_issued(name)
    first, renewal = scenario.received
    assert (renewal.message_type, renewal.signer) == (message_type, before)
    assert renewal.transaction_id != first.transaction_id
    assert renewal.challenge == "secret"
    assert (rig.certificate(name) != before, key_of(rig, name) == key) == (True, True)


def test_a_renewal_req_that_is_refused_goes_again_as_pkcs_req(rig: ScepRig) -> None:
    scenario = held(rig, "R1-fallback", STANDARD)
    scenario.plans = [ReplyPlan(), ReplyPlan(status="2", fail_info="2"), ReplyPlan()]
    before = rig.certificate("R1-fallback")
    rig.again("resubmit", "R1-fallback")
    assert rig.resting("R1-fallback")["status"] == "MONITORING"
    assert scenario.types == ["19", "17", "19"]
    assert rig.certificate("R1-fallback") != before
    assert scenario.received[2].signer == before
    rig.again("resubmit", "R1-fallback")
    assert scenario.types[3:] == ["19"], "what the server refused once is not tried again"


def test_a_renewal_that_the_server_really_refuses_keeps_what_is_there(rig: ScepRig) -> None:
    scenario = held(rig, "R1-refused", STANDARD)
    scenario.plans = [ReplyPlan(), ReplyPlan(status="2", fail_info="2", fail_info_text="no more")]
    before = rig.certificate("R1-refused")
    shown = rig.again("resubmit", "R1-refused")
    assert (shown["status"], "no more" in shown["ca-error"]) == ("MONITORING", True)
    assert scenario.types == ["19", "17", "19"]
    assert rig.certificate("R1-refused") == before


@pytest.mark.parametrize("capabilities", [RENEWING, STANDARD])
def test_a_rekey_is_signed_and_opened_by_the_old_key(rig: ScepRig, capabilities: Answer) -> None:
    name = "R2" if capabilities is RENEWING else "R2-17"
    scenario = held(rig, name, capabilities)
    before, key = rig.certificate(name), key_of(rig, name)
    rig.again("rekey", name)
    rig.assert_issued(name)
    rekey = scenario.received[-1]
    assert rekey.signer == before
    assert rekey.csr.public_key() != before.public_key()
    assert rig.certificate(name).public_key() == rekey.csr.public_key()
    assert key_of(rig, name) != key


@pytest.mark.parametrize(("name", "capabilities", "options"), [("R3", PLAIN, ()), ("R4", RENEWING, ("-n",))])
def test_without_renewal_a_rekey_is_an_enrolment_of_the_new_key(
    rig: ScepRig, name: str, capabilities: Answer, options: tuple[str, ...]
) -> None:
    scenario = held(rig, name, capabilities, options=options)
    rig.again("rekey", name)
    rig.assert_issued(name)
    rekey = scenario.received[-1]
    assert rekey.message_type == "19"
    assert rekey.signer.public_key() == rekey.csr.public_key()
    assert rekey.signer.issuer == rekey.signer.subject


def test_a_pending_rekey_is_polled_by_the_signer_it_was_sent_with(rig: ScepRig) -> None:
    scenario = held(rig, "R5", RENEWING)
    scenario.plans = [ReplyPlan(), ReplyPlan(status="3"), ReplyPlan(status="3"), ReplyPlan()]
    before = rig.certificate("R5")
    assert rig.again("rekey", "R5")["status"] == "CA_WORKING"
    assert rig.poll("R5", scenario)["status"] == "CA_WORKING"
    rig.poll("R5", scenario)
    rig.assert_issued("R5")
    assert scenario.types == ["19", "19", "20", "20"]
    assert {each.signer for each in scenario.received[1:]} == {before}
    assert len({each.transaction_id for each in scenario.received[1:]}) == 1


def test_a_rejected_rekey_leaves_key_and_certificate_as_they_were(rig: ScepRig) -> None:
    scenario = held(rig, "R6", RENEWING)
    before, key = rig.certificate("R6"), key_of(rig, "R6")
    scenario.plans = [ReplyPlan(), ReplyPlan(status="2", fail_info="2")]
    shown = rig.again("rekey", "R6")
    assert "badRequest" in shown["ca-error"]
    assert (rig.certificate("R6"), key_of(rig, "R6")) == (before, key)
    rig.assert_issued("R6")


def test_an_expired_certificate_does_not_sign(rig: ScepRig) -> None:
    scenario = Scenario(authority=AUTHORITY, capabilities=RENEWING)
    scenario.plans = [
        ReplyPlan(payload=lambda csr: certificates_only([AUTHORITY.issue(csr, not_after=NOW - timedelta(minutes=1))])),
        ReplyPlan(),
    ]
    rig.add_ca("R7", scenario)
    rig.daemon.request("R7", "-R", ca="R7")
    rig.again("resubmit", "R7")
    rig.assert_issued("R7")
    signer = scenario.received[-1].signer
    assert (signer.issuer == signer.subject, signer.public_key() == rig.certificate("R7").public_key()) == (True, True)


def test_a_challenge_password_for_one_use_is_forgotten(tmp_path: Path) -> None:
    for otp in ("yes", "no"):
        folder = tmp_path / otp
        folder.mkdir()
        with running_rig(folder) as rig:
            (rig.daemon.root / "config" / "certmonger.conf").write_text(f"[scep]\nchallenge_password_otp = {otp}\n")
            rig.daemon.stop()
            rig.daemon.start()
            scenario = held(rig, "R8", RENEWING)
            rig.again("resubmit", "R8")
            rig.assert_issued("R8")
            assert scenario.received[0].challenge == "secret"
            has_password = [
                any(attribute.oid == x509.oid.AttributeOID.CHALLENGE_PASSWORD for attribute in each.csr.attributes)
                for each in scenario.received
            ]
            assert has_password == [True, otp == "no"]
            state = rig.daemon.state_file("requests", "R8").read_text()
            assert ("secret" in state) == (otp == "no")


def returning(rig: ScepRig, name: str) -> Callable[[x509.CertificateSigningRequest], bytes]:
    return lambda _: certificates_only([rig.certificate(name)])


def test_the_certificate_held_is_not_taken_for_a_new_one(rig: ScepRig) -> None:
    scenario = held(rig, "R9", RENEWING)
    before = rig.certificate("R9")
    scenario.plans = [ReplyPlan(), ReplyPlan(payload=returning(rig, "R9"))]
    shown = rig.again("resubmit", "R9")
    assert (shown["status"], "held already" in shown["ca-error"]) == ("MONITORING", True)
    assert rig.certificate("R9") == before


def test_a_renewal_from_another_ca_is_signed_by_its_own_key(rig: ScepRig) -> None:
    """A certificate of one CA says nothing to another."""
    held(rig, "R-other", RENEWING)
    scenario = Scenario(authority=foreign_authority(), capabilities=RENEWING)
    rig.add_ca("R-other-2", scenario)
    rig.again("resubmit", "R-other", "-c", "R-other-2")
    assert rig.daemon.listing("R-other")["status"] == "MONITORING"
    signer = scenario.received[-1].signer
    assert signer.issuer == signer.subject


def foreign_authority() -> Authority:
    key = rsa_key("foreign CA")
    identity = Identity(key=key, certificate=certificate("Foreign CA", key, ca=True))
    return Authority(ca=identity, ra=identity)
