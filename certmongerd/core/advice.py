"""What a person can do about a request that waits. Names of states and commands only, so that clients start fast."""

from collections.abc import Mapping
from typing import Final

from certmongerd.core.states import State

_ADVICE: Final[Mapping[State, str]] = {
    State.CA_REJECTED: "Correct the request or ask the CA's operators, then: getcert resubmit -i {id}",
    State.CA_UNCONFIGURED: "Complete the configuration of the CA's helper, then: getcert resubmit -i {id}",
    State.CA_UNREACHABLE: "To try at once: getcert refresh -i {id}",
    State.CA_WORKING: "To ask at once: getcert refresh -i {id}",
    State.NEED_CA: "Choose a CA: getcert resubmit -i {id} -c NAME (getcert list-cas shows the names)",
    State.NEED_GUIDANCE: "Look at the daemon's log, correct the request, then: getcert resubmit -i {id}",
    State.NEED_SCEP_RSA_CLIENT_KEY: "SCEP needs an RSA key: getcert rekey -i {id} -G RSA",
    State.NEED_SCEP_ENCRYPTION_CERT: "To ask the server at once: getcert refresh-ca",
}
_BY_ENDING: Final = (
    ("_PIN", "Give the PIN with -p or -P: getcert resubmit -i {id} -p FILE"),
    ("_TOKEN", "Check the NSS database and the token's name (-t)."),
    ("_PERMS", "Check owner, mode and security label of the directory, then: getcert resubmit -i {id}"),
)


def advice_for(state: State, nickname: str) -> str:
    """One line for the request called *nickname*; empty when nothing is to be done."""
    text = _ADVICE.get(state) or next((text for ending, text in _BY_ENDING if state.value.endswith(ending)), "")
    return text.format(id=nickname)
