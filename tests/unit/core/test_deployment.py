"""A certificate that was stored but did not reach its service is a fault that shows, and is mended by itself."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from fakes.request_world import NOW, World, monitored, monitored_world, new_request

from certmongerd.core.deployment import Opening, Probe, parse_probe
from certmongerd.core.effects import Idle, Notify, RunPostSave, RunPreSave, SaveCaCerts, SaveCert, Submit, Wait
from certmongerd.core.errors import FailureKind, InvalidValue
from certmongerd.core.events import Begin, Failed, HookEnded, HookFailed, Refresh, Resubmit
from certmongerd.core.explain import explain
from certmongerd.core.machine import durable_image, step
from certmongerd.core.model import Deployment, Hook
from certmongerd.core.states import State
from certmongerd.store.requests import read_request, write_request

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BROKEN = HookFailed("The post-save command failed.")
COMMAND = Hook(command="/bin/reload", uid="0")


def undeployed() -> World:
    """A new certificate whose post-save command failed."""
    world = World(request=replace(new_request(), post_save=COMMAND), overrides={RunPostSave: BROKEN})
    world.happen(Begin())
    return world


def test_a_failed_post_save_command_is_recorded_shown_and_stored() -> None:
    world = undeployed()
    request = world.request
    assert (request.state, request.is_stuck, request.ca_error) == (State.MONITORING, True, BROKEN.reason)
    assert request.deployment == Deployment(error=BROKEN.reason, failures=1, retry_at=NOW + MINUTE / 2)
    assert durable_image(request).deployment == request.deployment
    facts = dict(explain(request, world.context()))
    assert facts["stuck"] == "yes"
    assert facts["deployment"].startswith("failed 1 times in a row; tried again at ")
    assert "getcert refresh" in facts["advice"]


def test_it_is_tried_again_less_and_less_often_and_once_it_works_nothing_is_wrong_any_more() -> None:
    world = undeployed()
    submissions = len(world.times_of(Submit))
    world.live(2 * DAY)
    times = world.times_of(RunPostSave)
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert delays[:4] == [MINUTE / 2, MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert delays[-1] == timedelta(hours=6)
    world.overrides = {}
    world.live(DAY)
    assert (world.request.is_stuck, world.request.ca_error) == (False, "")
    assert world.request.deployment == Deployment()
    assert len(world.times_of(Submit)) == submissions


def test_a_certificate_is_renewed_however_long_its_command_fails() -> None:
    world = undeployed()
    world.live(timedelta(days=2 * 365))
    assert len(world.times_of(Submit)) >= 2
    assert world.request.cert_facts.not_after is not None
    assert world.request.cert_facts.not_after > world.now


@pytest.mark.parametrize("command", [Refresh(), Begin()])
def test_somebody_who_mended_it_need_not_wait(command: Refresh | Begin) -> None:
    world = undeployed()
    world.overrides = {}
    world.happen(command)
    assert not world.request.is_stuck
    assert len(world.times_of(RunPostSave)) == 2


def test_a_rejected_renewal_does_not_hide_that_the_old_certificate_was_not_deployed() -> None:
    world = undeployed()
    world.overrides = {**world.overrides, SaveCert: Failed(FailureKind.OTHER, "no space")}
    world.happen(Resubmit())
    assert world.request.deployment.error == BROKEN.reason


def test_a_pre_save_command_is_tried_again_and_then_the_certificate_is_stored_all_the_same() -> None:
    world = World(request=replace(new_request(), pre_save=COMMAND), overrides={RunPreSave: HookFailed("cannot stop")})
    world.happen(Begin())
    waits = []
    while isinstance(world.action, Wait) and world.request.state is State.NEED_TO_SAVE_CERT:
        assert world.request.ca_error == "cannot stop"
        waits.append(world.wait())
    assert waits == [MINUTE / 2, MINUTE, 2 * MINUTE]
    assert len(world.times_of(SaveCert)) == 1
    assert (world.request.state, world.request.is_stuck) == (State.MONITORING, True)
    assert world.request.ca_error == "cannot stop"
    world.overrides = {}
    world.happen(Resubmit())
    assert (world.request.is_stuck, world.request.ca_error) == (False, "")


def test_a_place_that_cannot_be_written_is_tried_again_although_somebody_has_to_act() -> None:
    world = monitored_world()
    world.overrides = {SaveCert: Failed(FailureKind.PERMS, "read-only")}
    world.happen(Resubmit())
    assert (world.request.state, world.request.is_stuck) == (State.NEED_CERTSAVE_PERMS, True)
    assert not isinstance(world.action, Idle)
    world.overrides = {}
    world.live(5 * MINUTE)
    assert (world.request.state, world.request.is_stuck) == (State.MONITORING, False)


def without_ca_certs(kind: FailureKind = FailureKind.OTHER) -> World:
    """A certificate that is watched, whose CA's certificates cannot be stored."""
    world = World(request=replace(monitored(), state=State.NEED_TO_SAVE_ONLY_CA_CERTS))
    world.overrides = {SaveCaCerts: Failed(kind, "No such directory.")}
    world.happen(Begin())
    return world


def test_ca_certificates_that_cannot_be_stored_alone_are_recorded_shown_and_stored() -> None:
    world = without_ca_certs()
    request = world.request
    assert (request.state, request.is_stuck, request.ca_error) == (State.MONITORING, True, "No such directory.")
    stored, _ = read_request(write_request(durable_image(request)))
    assert stored.deployment == request.deployment
    facts = dict(explain(request, world.context()))
    assert facts["deployment"].startswith("the CA's certificates could not be stored 1 times in a row; again at ")
    assert "getcert refresh" in facts["advice"]


def test_ca_certificates_alone_are_tried_again_less_and_less_often_and_people_are_told_once() -> None:
    world = without_ca_certs()
    world.live(2 * DAY)
    delays = [later - earlier for earlier, later in pairwise(world.times_of(SaveCaCerts))]
    assert delays[:4] == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]
    assert delays[-1] == timedelta(hours=6)
    assert len(world.times_of(Notify)) == 1
    world.overrides = {}
    world.live(DAY)
    assert (world.request.is_stuck, world.request.ca_error) == (False, "")
    assert world.request.deployment == Deployment()


@pytest.mark.parametrize("kind", FailureKind)
def test_a_certificate_is_renewed_however_long_its_ca_s_certificates_cannot_be_stored_alone(kind: FailureKind) -> None:
    world = without_ca_certs(kind)
    world.live(330 * DAY)
    assert len(world.times_of(SaveCaCerts)) > 100
    world.live(20 * DAY)
    assert world.times_of(Submit)


def test_a_refresh_tries_ca_certificates_at_once() -> None:
    world = without_ca_certs()
    world.overrides = {}
    world.happen(Refresh())
    assert (world.request.state, world.request.is_stuck) == (State.MONITORING, False)


def test_a_command_that_works_again_does_not_hide_ca_certificates_that_are_missing() -> None:
    deployment = Deployment(ca_certs_error="No such directory.", ca_certs_failures=1, ca_certs_retry_at=NOW + DAY)
    world = World(request=replace(monitored(), state=State.POST_SAVED_CERT, deployment=deployment))
    world.request = step(world.request, HookEnded(), world.context()).request
    assert world.request.ca_error == "No such directory."


@pytest.mark.parametrize(
    ("text", "opening", "host", "port"),
    [
        ("www.example.org:443", Opening.TLS, "www.example.org", 443),
        ("[2001:db8::1]:8443", Opening.TLS, "2001:db8::1", 8443),
        ("tls://www.example.org:443", Opening.TLS, "www.example.org", 443),
        ("smtp://mail.example.org", Opening.SMTP, "mail.example.org", 25),
        ("smtp://mail.example.org:587", Opening.SMTP, "mail.example.org", 587),
        ("imap://[2001:db8::1]", Opening.IMAP, "2001:db8::1", 143),
        ("pop3://mail", Opening.POP3, "mail", 110),
        ("ldap://dc:3268", Opening.LDAP, "dc", 3268),
        ("postgres://[::1]:5433", Opening.POSTGRES, "::1", 5433),
    ],
)
def test_services_to_probe(text: str, opening: Opening, host: str, port: int) -> None:
    assert parse_probe(text) == Probe(opening=opening, host=host, port=port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "host:", ":443", "host:0", "host:65536", "::1:443", "a b:1", "host:x", "tls://host"),
        *("smtp://", "smtp://host:", "smtp://::1", "smtp://host/x", "imap://host:0"),
    ],
)
def test_what_is_no_service_to_probe(text: str) -> None:
    with pytest.raises(InvalidValue, match="HOST:PORT"):
        parse_probe(text)


@pytest.mark.parametrize("text", ["https://host:443", "SMTP://host:25", "://host:25", "smtp://smtp://host"])
def test_protocols_that_nobody_can_speak_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="smtp, imap, pop3, ldap, postgres"):
        parse_probe(text)
