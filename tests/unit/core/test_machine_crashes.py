"""What is remembered before something happens that a crash could leave half done."""

from dataclasses import replace

import pytest
from fakes.request_world import NOW, OLD_SPKI, PLAIN_CA, Disk, World, facts, monitored, new_request, with_candidate

from certmongerd.core.effects import BuildCsr, GenerateKey, ReadCert, SaveCert, Wait
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Begin,
    CertAbsent,
    Continue,
    Event,
    Failed,
    KeyAbsent,
    Rekey,
    Resubmit,
    TimerFired,
)
from certmongerd.core.machine import durable_image, step
from certmongerd.core.model import KeyRecord
from certmongerd.core.schedule import SOONISH
from certmongerd.core.states import State
from certmongerd.core.step import Context

CONTEXT = Context(now=NOW, ca=PLAIN_CA, cas=(PLAIN_CA,), new_marker="IjKlMnOp")


def test_a_candidate_s_name_is_chosen_before_the_candidate_is_made() -> None:
    began = step(monitored(), Rekey(), CONTEXT).request
    making = step(began, Continue(), CONTEXT)
    assert isinstance(making.action, GenerateKey)
    assert durable_image(making.request).key_next_marker == "IjKlMnOp"
    assert durable_image(making.request).state is State.NEED_KEY_PAIR
    # After a crash the same name is used, whatever the chance says then.
    again = step(durable_image(making.request), Continue(), replace(CONTEXT, new_marker="QrStUvWx"))
    assert again.request.key_next_marker == "IjKlMnOp"


def test_a_new_candidate_takes_the_place_of_the_old_one() -> None:
    began = step(with_candidate(monitored()), Rekey(), CONTEXT).request
    assert step(began, Continue(), CONTEXT).request.key_next_marker == "AbCdEfGh"


def test_a_first_key_needs_no_name() -> None:
    request = replace(new_request(), state=State.NEED_KEY_PAIR)
    assert step(request, Continue(), CONTEXT).request.key_next_marker == ""


def test_a_new_key_that_is_asked_for_while_the_first_one_is_made_has_a_name() -> None:
    # The first key may be in its place by then, which nobody was told; what is made next is a candidate.
    making = replace(new_request(), state=State.GENERATING_KEY_PAIR)
    began = step(making, Rekey(), CONTEXT).request
    assert durable_image(began).key_next_marker == "IjKlMnOp"


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.GENERATING_KEY_PAIR, Begin()),
        (State.GENERATING_KEY_PAIR, Begin(with_daemon=True)),
        (State.NEED_KEY_PAIR, TimerFired()),
        (State.READING_KEYINFO, KeyAbsent()),
    ],
)
def test_what_is_made_after_a_first_key_that_was_cut_short_has_a_name(state: State, event: Event) -> None:
    # The modification of a request, say, ends a generation; the key that came of it is nobody's candidate.
    cut_short = step(replace(new_request(), state=state), event, CONTEXT).request
    assert durable_image(cut_short).state is State.NEED_KEY_PAIR
    assert durable_image(cut_short).key_next_marker == "IjKlMnOp"


def test_a_new_key_for_a_certificate_whose_key_cannot_be_read_has_a_name() -> None:
    unread = replace(monitored(), key=KeyRecord(), state=State.NEED_KEY_PAIR)
    assert step(unread, Continue(), CONTEXT).request.key_next_marker == "IjKlMnOp"


def test_nothing_is_taken_for_granted_of_a_candidate_whose_making_is_cut_short() -> None:
    # The CA's helper wanted another new key: the candidate's file may hold the one or the other.
    demanded = replace(with_candidate(monitored()), state=State.NEED_KEY_PAIR)
    making = step(demanded, Continue(), CONTEXT).request
    assert (making.key_next_marker, making.key_next.pubkey_info) == ("AbCdEfGh", b"")
    assert step(making, Resubmit(), CONTEXT).request.state is State.NEED_KEY_PAIR


def test_resubmission_while_a_new_key_is_being_made_neither_misses_it_nor_waits() -> None:
    world = World(request=monitored(), disk=Disk(spki=OLD_SPKI, certificate=("PEM 0", facts())))
    world.deliver(Rekey())
    assert world.action == GenerateKey()
    world.happen(Resubmit())
    assert (world.request.state, world.now) == (State.MONITORING, NOW)
    assert world.disk.spki == world.request.cert_facts.spki != OLD_SPKI
    assert world.disk.keys_made == 2


def test_resubmission_makes_a_new_key_that_could_not_be_made_before() -> None:
    world = World(request=monitored(), disk=Disk(spki=OLD_SPKI, certificate=("PEM 0", facts())))
    world.overrides = {GenerateKey: Failed(FailureKind.PERMS, "read-only file system")}
    world.happen(Rekey())
    assert world.request.state is State.NEED_KEY_GEN_PERMS
    world.overrides = {}
    world.happen(Resubmit())
    assert (world.request.state, world.now) == (State.MONITORING, NOW)
    assert world.disk.spki != OLD_SPKI


def test_a_missing_candidate_is_made_anew_instead_of_being_waited_for() -> None:
    world = World(request=with_candidate(monitored()), disk=Disk(spki=OLD_SPKI, certificate=("PEM 0", facts())))
    world.overrides = {BuildCsr: KeyAbsent()}
    world.happen(Resubmit())
    assert (world.request.state.value, world.request.key_next_marker) == ("NEED_KEY_PAIR", "")
    assert world.action == Wait(SOONISH)
    world.overrides = {}
    world.wait()
    assert world.request.state is State.MONITORING
    assert world.disk.spki != OLD_SPKI


def test_a_candidate_that_became_the_key_unnoticed_is_read_before_it_is_used() -> None:
    # A crash came between the exchange of the keys and the state file; somebody does not want to wait for a new key.
    world = World(request=with_candidate(monitored()), disk=Disk(spki=b"candidate", certificate=("PEM 0", facts())))
    world.overrides = {BuildCsr: KeyAbsent()}
    world.happen(Resubmit())
    world.overrides = {}
    world.happen(Resubmit())
    assert world.request.state is State.MONITORING
    assert world.request.key.pubkey_info == b"candidate"


def test_a_certificate_whose_candidate_is_gone_is_asked_for_again_with_another_key() -> None:
    world = World(request=with_candidate(monitored()), disk=Disk(spki=OLD_SPKI, certificate=("PEM 0", facts())))
    world.overrides = {SaveCert: KeyAbsent()}
    world.happen(Resubmit())
    assert (world.request.state.value, world.request.key_next_marker) == ("NEED_KEY_PAIR", "")
    world.overrides = {}
    world.wait()
    assert world.request.state is State.MONITORING
    assert world.disk.spki != OLD_SPKI


def test_a_certificate_that_could_not_be_read_back_counts_once() -> None:
    world = World(request=replace(new_request(), state=State.NEED_KEY_PAIR))
    world.overrides = {ReadCert: CertAbsent()}
    world.happen(Begin())
    for _ in range(3):
        world.wait()
    world.overrides = {}
    world.wait()
    assert world.request.state is State.MONITORING
    assert world.request.key_issued_count == 1
