"""What was found in a key store, as the request machine's events."""

from certmongerd.core.events import CertRead, KeyRead
from certmongerd.pki.certs import certificate_facts, parse_certificate
from certmongerd.pki.keys import KeyFacts


def key_read(facts: KeyFacts) -> KeyRead:
    """A key was read."""
    return KeyRead(type=facts.algorithm, size=facts.bits, pubkey_info=facts.spki, token=facts.token)


def cert_read(pem: str) -> CertRead:
    """A certificate was read. Raises InvalidValue."""
    return CertRead(cert=pem, facts=certificate_facts(parse_certificate(pem)))
