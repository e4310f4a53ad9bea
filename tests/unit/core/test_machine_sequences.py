"""What a request goes through from beginning to end, state by state, as certmonger shows it."""

from dataclasses import replace
from datetime import timedelta

from fakes.request_phases import (
    CSR,
    DONE,
    KEY,
    NOTICE,
    READING,
    SAVE,
    SCEP,
    SUBMIT,
    enrolled,
    last_submission,
    names,
    words,
)
from fakes.request_world import (
    OLD_SPKI,
    PLAIN_CA,
    SCEP_CA,
    Disk,
    World,
    facts,
    monitored_world,
    new_request,
)

from certmongerd.core.effects import (
    Idle,
    Operation,
    Submit,
)
from certmongerd.core.events import (
    Begin,
    NeedScepMessages,
    Rekey,
    Resubmit,
)
from certmongerd.core.ids import CaName
from certmongerd.core.model import (
    CaCertLocations,
    Hook,
    KeyRecord,
    KeyStorage,
    NamedCertificate,
)


def test_enrolment_without_a_key() -> None:
    world = enrolled()
    assert names(world) == words(READING, KEY, CSR, SUBMIT, SAVE, DONE)
    assert sum(step.certificate_saved for step in world.steps) == 1


def test_enrolment_with_a_key_that_exists() -> None:
    world = World(request=new_request(), disk=Disk(spki=OLD_SPKI))
    world.happen(Begin())
    assert names(world) == words(READING, CSR, SUBMIT, SAVE, DONE)
    assert world.disk.spki == OLD_SPKI


def test_enrolment_with_commands_before_and_after_saving() -> None:
    command = Hook(command="/bin/true", uid="0")
    world = enrolled(request=replace(new_request(), pre_save=command, post_save=command))
    saving = words(SAVE)
    saving = [saving[0], "PRE_SAVE_CERT", *saving[1:], "POST_SAVED_CERT"]
    assert names(world) == words(READING, KEY, CSR, SUBMIT, *saving, DONE)


def test_enrolment_at_a_scep_ca_that_is_known_as_one_makes_the_messages_first() -> None:
    world = enrolled(SCEP_CA)
    # certmonger runs the helper once without messages, to be told that they are needed.
    assert names(world) == words(READING, KEY, CSR, "NEED_TO_SUBMIT", SCEP, SUBMIT, SAVE, DONE)
    assert last_submission(world) == Submit(Operation.SUBMIT, with_scep=True)


def test_enrolment_at_a_ca_that_turns_out_to_want_scep_messages() -> None:
    world = enrolled(PLAIN_CA, NeedScepMessages(were_given=False))
    assert names(world) == words(READING, KEY, CSR, SUBMIT, SCEP, SUBMIT, SAVE, DONE)
    assert world.request.key.requested_count == 2


def test_adoption_of_an_existing_pair() -> None:
    world = World(request=new_request(), disk=Disk(spki=OLD_SPKI, certificate=("PEM 0|", facts())))
    world.happen(Begin())
    assert names(world) == words(READING, "MONITORING")
    assert world.request.template.subject == "CN=a"


def test_adoption_of_a_certificate_without_a_key_location() -> None:
    request = replace(new_request(), key_storage=KeyStorage())
    world = World(request=request, disk=Disk(certificate=("PEM 0|", facts())))
    world.happen(Begin())
    reading = [name for name in words(READING) if "KEYINFO" not in name]
    assert names(world) == [*reading, "MONITORING"]


def test_adoption_stores_the_ca_certificates_that_are_wanted() -> None:
    ca = replace(PLAIN_CA, root_certs=(NamedCertificate(nickname="root", pem="ROOT"),))
    request = replace(new_request(), ca_certs=CaCertLocations(root_files=("/etc/ca.pem",)))
    world = World(request=request, ca=ca, disk=Disk(spki=OLD_SPKI, certificate=("PEM 0|", facts())))
    world.happen(Begin())
    saving = "NEED_TO_SAVE_ONLY_CA_CERTS START_SAVING_ONLY_CA_CERTS SAVING_ONLY_CA_CERTS MONITORING"
    assert names(world) == words(READING, saving)


def test_neither_certificate_nor_key_location_needs_guidance() -> None:
    world = enrolled(request=replace(new_request(), key_storage=KeyStorage()))
    assert names(world)[-1] == "NEED_GUIDANCE"
    assert "neither a certificate" in world.request.ca_error


def test_enrolment_without_a_ca_waits_for_one() -> None:
    world = World(request=replace(new_request(), ca_name=CaName("")), ca=None)
    world.happen(Begin())
    assert names(world) == words(READING, KEY, CSR, "NEED_TO_SUBMIT NEED_CA")
    assert world.action == Idle()


def test_renewal_tells_people_first_when_both_thresholds_are_the_same() -> None:
    world = monitored_world()
    world.states.clear()
    world.live(timedelta(days=365 - 27))
    assert names(world) == words("MONITORING", NOTICE, CSR, SUBMIT, SAVE, DONE)


def test_resubmission_renews_with_the_same_key() -> None:
    world = monitored_world()
    world.states.clear()
    world.happen(Resubmit())
    assert names(world) == words(CSR, SUBMIT, SAVE, DONE)
    assert world.request.key.pubkey_info == OLD_SPKI
    assert (world.request.key_issued_count, world.request.key.requested_count) == (1, 1)


def test_rekey_swaps_the_keys_when_the_certificate_is_for_the_new_one() -> None:
    world = monitored_world()
    world.states.clear()
    world.happen(Rekey())
    assert names(world) == words(KEY, CSR, SUBMIT, SAVE, DONE)
    assert world.disk.spki == world.request.key.pubkey_info == b"public key number 2"
    assert (world.request.key_next_marker, world.request.key_next) == ("", KeyRecord())
    assert (world.request.key_issued_count, world.request.key.requested_count) == (1, 1)


def test_rekey_answered_for_the_old_key_keeps_it() -> None:
    world = monitored_world(answer=lambda world, _: world.issue(spki=OLD_SPKI))
    world.states.clear()
    world.happen(Rekey())
    assert names(world) == words(KEY, CSR, SUBMIT, SAVE, DONE)
    assert world.disk.spki == world.request.key.pubkey_info == OLD_SPKI
    assert (world.request.key_next_marker, world.request.key_next) == ("", KeyRecord())
