"""Why a request stands where it stands: the machine's facts, and what was or will be sent to a SCEP server."""

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.core.explain import Fact, explain
from certmongerd.core.machine_enroll import is_scep_ca
from certmongerd.core.model import Ca, Request
from certmongerd.core.states import State
from certmongerd.core.step import Context
from certmongerd.pki.pem import pem_blocks
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.caps import Capabilities, choose_cipher, choose_digest
from certmongerd.scep.describe import describe_certificate, describe_message


def explain_request(request: Request, context: Context) -> tuple[Fact, ...]:
    """Facts about *request*; those about SCEP have labels that begin with `scep `."""
    facts = explain(request, context)
    ca = context.ca
    if ca is None:
        return facts
    if ca.error and request.state is not State.MONITORING:
        facts += (("ca trouble", ca.error),)
    return facts + _about_scep(request, ca) if is_scep_ca(ca) or request.scep.tx else facts


def _about_scep(request: Request, ca: Ca) -> tuple[Fact, ...]:
    """The server, and the transaction."""
    capabilities = Capabilities.of(ca.capabilities)
    facts: list[Fact] = [("scep capabilities", ", ".join(capabilities.words) or "none: treated as an old server")]
    try:
        ra = certificates_in(ca.encryption_cert.encode("ascii", "replace"))[0]
        facts.append(("scep messages are encrypted to", describe_certificate(ra)))
        cipher = choose_cipher(capabilities, ca.scep_cipher).value
        digest = choose_digest(capabilities, ca.scep_digest).value
        facts.append(("scep algorithms", f"{cipher}, {digest}, HTTP {'POST' if capabilities.has_post else 'GET'}"))
    except RemoteProtocolError:
        facts.append(("scep messages are encrypted to", "nothing: the server's certificate is not known"))
    except InvalidValue as error:
        facts.append(("scep algorithms", error.reason))
    if request.scep.tx:
        over = " (finished)" if request.scep.is_finished else ""
        facts.append(("scep transactionID", f"{request.scep.tx}{over}"))
    last = request.scep.gic if request.ca_cookie else request.scep.req or request.scep.req_next
    if last:
        facts += [(f"scep {label}", text) for label, text in _message(last) if label in _SHOWN]
    return tuple(facts)


_SHOWN = frozenset({"messageType", "signer"})
"""What of a message is not told otherwise."""


def _message(pem: str) -> tuple[Fact, ...]:
    return next((describe_message(block.der) for block in pem_blocks(pem)), ())
