"""Requests that the CA decides about later: polls, their transaction, and what can become of them."""

from pathlib import Path

import pytest
from fakes.scep_authority import RECIPIENT_NONCE, SENDER_NONCE, ReplyPlan, ca_with_ra
from fakes.scep_cms import tlv
from fakes.scep_responder import Answer, Scenario
from scep_rig import ScepRig, running_rig

PENDING = ReplyPlan(status="3")
ISSUED = ReplyPlan()


def without_sender_nonce(values: dict[str, bytes]) -> None:
    del values[SENDER_NONCE]


def scenario_of(*plans: ReplyPlan) -> Scenario:
    return Scenario(authority=ca_with_ra(), plans=plans)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_pending_request_is_polled_in_its_transaction_until_it_is_issued(rig: ScepRig, times: int) -> None:
    name = f"W1-{times}"
    scenario = scenario_of(*[PENDING] * times, ISSUED)
    assert rig.enrol(name, scenario)["status"] == "CA_WORKING"
    for _ in range(times - 1):
        assert rig.poll(name, scenario)["status"] == "CA_WORKING"
    rig.poll(name, scenario)
    rig.assert_issued(name)
    assert scenario.types == ["19", *["20"] * times]
    assert len({each.transaction_id for each in scenario.received}) == 1
    assert len({each.sender_nonce for each in scenario.received}) == times + 1


def test_a_request_that_stays_pending_waits_longer_each_time_and_can_be_asked_about_at_once(rig: ScepRig) -> None:
    scenario = scenario_of(PENDING)
    rig.enrol("W2", scenario)
    for _ in range(3):
        assert rig.poll("W2", scenario)["status"] == "CA_WORKING"
    told = rig.daemon.getcert("why", "-i", "W2").stdout
    assert "twice as long after each poll, at most a day" in told
    assert "next attempt: " in told
    assert scenario.types == ["19", "20", "20", "20"]


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("W3-absent", ReplyPlan(status="3", content=None)),
        ("W3-empty", ReplyPlan(status="3", content=b"")),
        ("W3-byte", ReplyPlan(status="3", content=b"\0")),
        ("W7", ReplyPlan(content=b"")),
        ("W10", ReplyPlan(status="3", alter=without_sender_nonce)),
    ],
)
def test_every_way_to_say_pending_is_understood(rig: ScepRig, name: str, plan: ReplyPlan) -> None:
    scenario = scenario_of(plan, ISSUED)
    assert rig.enrol(name, scenario)["status"] == "CA_WORKING"
    rig.poll(name, scenario)
    rig.assert_issued(name)


def test_a_pending_request_whose_new_key_is_gone_is_made_anew_with_another_one(rig: ScepRig) -> None:
    scenario = scenario_of(ISSUED, PENDING, ISSUED)
    rig.enrol("W11", scenario)
    rig.again("rekey", "W11")
    rig.daemon.wait_for("W11", "CA_WORKING")
    (candidate,) = rig.daemon.certs.glob("W11.key.*.key")
    candidate.unlink()
    rig.daemon.getcert("refresh", "-i", "W11")
    rig.daemon.wait_for("W11", "NEED_KEY_PAIR")
    rig.again("rekey", "W11")
    rig.daemon.wait_for("W11")
    rig.assert_issued("W11")
    assert list(rig.daemon.certs.glob("W11.key.*.key")) == []


@pytest.mark.parametrize(("name", "code"), [("W4", "2"), ("W6", "4")])
def test_a_pending_request_that_is_refused_starts_anew_when_it_is_resubmitted(
    rig: ScepRig, name: str, code: str
) -> None:
    scenario = scenario_of(PENDING, ReplyPlan(status="2", fail_info=code), ISSUED)
    rig.enrol(name, scenario)
    shown = rig.poll(name, scenario)
    assert shown["status"] == "CA_REJECTED"
    assert ("badRequest" if code == "2" else "badCertId") in shown["ca-error"]
    rig.again("resubmit", name)
    rig.assert_issued(name)
    assert scenario.types == ["19", "20", "19"]
    first, _, third = (each.transaction_id for each in scenario.received)
    assert first != third


def test_a_restart_between_polls_changes_nothing(tmp_path: Path) -> None:
    with running_rig(tmp_path) as rig:
        scenario = scenario_of(PENDING, PENDING, ISSUED)
        rig.enrol("W5", scenario)
        assert rig.daemon.stop() == 0
        rig.daemon.start()
        rig.resting("W5")
        while rig.daemon.listing("W5")["status"] != "MONITORING":
            rig.poll("W5", scenario)
        rig.assert_issued("W5")
        assert scenario.types == ["19", "20", "20"]
        assert len({each.transaction_id for each in scenario.received}) == 1


def test_a_forged_pending_reply_changes_nothing(rig: ScepRig) -> None:
    forged = ReplyPlan(status="3", alter=lambda values: values.update({RECIPIENT_NONCE: tlv(4, bytes(16))}))
    scenario = scenario_of(PENDING, forged, ISSUED)
    rig.enrol("W8", scenario)
    shown = rig.poll("W8", scenario)
    assert (shown["status"], "recipientNonce" in shown["ca-error"]) == ("CA_UNREACHABLE", True)
    rig.poll("W8", scenario)
    rig.assert_issued("W8")
    assert scenario.types == ["19", "20", "20"]


def test_a_server_that_fails_at_a_poll_is_unreachable_and_a_resubmission_goes_through(rig: ScepRig) -> None:
    scenario = scenario_of(PENDING, ISSUED)
    rig.enrol("W9", scenario)
    scenario.refusals = {"POST": Answer(status=500, body=b"out of order")}
    shown = rig.poll("W9", scenario)
    assert (shown["status"], "HTTP 500: out of order" in shown["ca-error"]) == ("CA_UNREACHABLE", True)
    scenario.refusals = {}
    rig.again("resubmit", "W9")
    rig.assert_issued("W9")
