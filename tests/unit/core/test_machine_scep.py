"""SCEP transactions in the request machine: RenewalReq and its fallback, finished transactions, polling."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.request_world import NOW, OLD_SPKI, SCEP_CA, fresh_messages, monitored, new_request, with_known_key

from certmongerd.core.effects import BuildScep, Wait
from certmongerd.core.events import Event, Issued, Rejected, TimerFired, Unreachable, Working
from certmongerd.core.machine import step
from certmongerd.core.model import Request, ScepMessages
from certmongerd.core.states import State as S
from certmongerd.core.step import Context

CONTEXT = Context(now=NOW, ca=SCEP_CA, cas=(SCEP_CA,))
RENEWAL = replace(fresh_messages(), last_nonce=b"new", has_renewal_req=True)


def submitting(scep: ScepMessages = RENEWAL) -> Request:
    return replace(monitored(SCEP_CA), state=S.SUBMITTING, scep=scep)


def test_a_refused_renewal_req_is_followed_by_a_pkcs_req_in_a_new_transaction() -> None:
    outcome = step(submitting(), Rejected("unknown message type"), CONTEXT)
    assert outcome.request.state is S.NEED_SCEP_DATA
    assert outcome.request.scep.avoids_renewal_req
    assert outcome.request.scep.is_finished


def test_what_is_refused_as_pkcs_req_too_is_refused() -> None:
    messages = replace(RENEWAL, has_renewal_req=False, avoids_renewal_req=True)
    outcome = step(submitting(messages), Rejected("not for you"), CONTEXT)
    assert (outcome.request.state, outcome.request.ca_error) == (S.MONITORING, "not for you")


def test_a_rejected_poll_is_final_also_for_a_renewal_req() -> None:
    outcome = step(replace(submitting(), ca_cookie="cookie"), Rejected("no"), CONTEXT)
    assert outcome.request.state is S.MONITORING


def test_a_renewal_req_that_brought_no_answer_is_tried_as_pkcs_req_next() -> None:
    outcome = step(submitting(), Unreachable("HTTP 500"), CONTEXT)
    assert outcome.request.state is S.CA_UNREACHABLE
    assert outcome.request.scep.avoids_renewal_req
    assert not outcome.request.scep.is_finished, "it is the same transaction"


@pytest.mark.parametrize("event", [Issued(cert="PEM 2", spki=OLD_SPKI), Rejected("no")])
def test_an_answer_ends_the_transaction_and_keeps_its_id(event: Event) -> None:
    request = replace(with_known_key(new_request(SCEP_CA)), state=S.SUBMITTING, scep=fresh_messages())
    after = step(request, event, CONTEXT).request.scep
    assert (after.tx, after.req, after.gic, after.minicert, after.is_finished) == ("tx", "", "", b"", True)


@pytest.mark.parametrize("event", [Working(cookie="c"), Unreachable("no route")])
def test_a_transaction_without_a_final_answer_goes_on(event: Event) -> None:
    request = replace(with_known_key(new_request(SCEP_CA)), state=S.SUBMITTING, scep=fresh_messages())
    assert not step(request, event, CONTEXT).request.scep.is_finished


def test_a_pending_request_is_polled_after_a_minute_then_less_often_but_every_day() -> None:
    delays = []
    request = submitting(replace(RENEWAL, has_renewal_req=False))
    for _ in range(16):
        outcome = step(replace(request, state=S.SUBMITTING), Working(cookie="c"), CONTEXT)
        assert isinstance(outcome.action, Wait)
        delays.append(outcome.action.delay)
        request = outcome.request
    assert delays[:2] == [timedelta(minutes=1), timedelta(minutes=2)]
    assert delays[-1] == timedelta(days=1)


def test_a_request_whose_encryption_certificate_stays_unusable_tries_again_by_itself() -> None:
    outcome = step(replace(monitored(SCEP_CA), state=S.NEED_SCEP_ENCRYPTION_CERT), TimerFired(), CONTEXT)
    assert (outcome.request.state, outcome.action) == (S.GENERATING_SCEP_DATA, BuildScep())
