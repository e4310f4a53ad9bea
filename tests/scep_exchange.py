"""SCEP messages as the daemon makes them for a test authority, and the variables that scep-submit gets."""

import secrets

from fakes.scep_authority import Authority
from fakes.scep_responder import ALL_CAPABILITIES
from scep_material import NOW, pem, rsa_key, signing_request

from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, ScepMessages
from certmongerd.scep.client import ScepInputs, build_messages

KEY = rsa_key("client")
NEXT = rsa_key("next")


def ca_of(authority: Authority, capabilities: bytes = ALL_CAPABILITIES) -> Ca:
    words = tuple(capabilities.decode().split())
    issuer = "" if authority.ca == authority.ra else pem(authority.ca.certificate)
    return Ca(
        id=CaName("test"),
        capabilities=words,
        encryption_cert=pem(authority.ra.certificate),
        encryption_issuer_cert=issuer,
    )


def messages_for(authority: Authority, **changes: object) -> ScepMessages:
    values: dict[str, object] = {
        "csr": signing_request(KEY),
        "ca": ca_of(authority),
        "key": KEY,
        "now": NOW,
        "nonce": secrets.token_bytes(16),
        "random_bytes": secrets.token_bytes,
    }
    return build_messages(ScepInputs(**{**values, **changes}))  # type: ignore[arg-type]  # test shorthand


def variables(authority: Authority, messages: ScepMessages, operation: str = "SUBMIT") -> dict[str, str]:
    ca = ca_of(authority)
    values = {
        "OPERATION": operation,
        "SCEP_RA_CERTIFICATE": ca.encryption_cert,
        "SCEP_CA_CERTIFICATE": ca.encryption_issuer_cert,
        "PKCSREQ": messages.req,
        "PKCSREQ_REKEY": messages.req_next,
        "GETCERTINITIAL": messages.gic,
        "GETCERTINITIAL_REKEY": messages.gic_next,
    }
    return {name: value for name, value in values.items() if value}
