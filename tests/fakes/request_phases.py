"""The states of a request's typical ways, phase by phase, in certmonger's order."""

from typing import Final

from fakes.request_world import (
    PLAIN_CA,
    World,
    issue_again,
    new_request,
)

from certmongerd.core.effects import (
    Submit,
)
from certmongerd.core.events import (
    Begin,
    Event,
)
from certmongerd.core.model import (
    Ca,
    Request,
)

READING: Final = """NEWLY_ADDED NEWLY_ADDED_START_READING_KEYINFO NEWLY_ADDED_READING_KEYINFO
    NEWLY_ADDED_START_READING_CERT NEWLY_ADDED_READING_CERT NEWLY_ADDED_DECIDING"""
KEY: Final = "NEED_KEY_PAIR GENERATING_KEY_PAIR HAVE_KEY_PAIR NEED_KEYINFO READING_KEYINFO HAVE_KEYINFO"
CSR: Final = "NEED_CSR GENERATING_CSR HAVE_CSR"
SUBMIT: Final = "NEED_TO_SUBMIT SUBMITTING"
SCEP: Final = "NEED_SCEP_DATA GENERATING_SCEP_DATA HAVE_SCEP_DATA"
SAVE: Final = """NEED_TO_SAVE_CERT START_SAVING_CERT SAVING_CERT SAVED_CERT NEED_TO_SAVE_CA_CERTS
    START_SAVING_CA_CERTS SAVING_CA_CERTS NEED_TO_READ_CERT READING_CERT"""
DONE: Final = "NEED_TO_NOTIFY_ISSUED_SAVED NOTIFYING_ISSUED_SAVED MONITORING"
NOTICE: Final = "NEED_TO_NOTIFY_VALIDITY NOTIFYING_VALIDITY"
REJECTION: Final = "NEED_TO_NOTIFY_REJECTION NOTIFYING_REJECTION CA_REJECTED"


def names(world: World) -> list[str]:
    """The states that were entered."""
    return [state.value for state in world.states]


def words(*parts: str) -> list[str]:
    """The states that *parts* name, in order."""
    return " ".join(parts).split()


def enrolled(ca: Ca = PLAIN_CA, *answers: Event, request: Request | None = None) -> World:
    """A new entry, worked on until it waits; the CA gives *answers*, then issues."""
    script = list(answers)
    world = World(
        request=request or new_request(ca),
        ca=ca,
        answer=lambda world, effect: script.pop(0) if script else issue_again(world, effect),
    )
    world.happen(Begin())
    return world


def last_submission(world: World) -> Submit:
    """The latest submission."""
    return next(effect for _, effect in reversed(world.effects) if isinstance(effect, Submit))
