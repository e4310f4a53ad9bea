"""What a database or token is told to generate."""

from dataclasses import dataclass

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import MINIMUM_RSA_BITS, KeyAlgorithm, KeyRecord, KeyStorage
from certmongerd.pki import der
from certmongerd.pki.algorithms import CURVES, curve_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A key to be generated."""

    algorithm: str
    """`RSA` or `EC`."""
    bits: int = 0
    """Of an RSA modulus."""
    curve: str = ""
    """Hexadecimal DER of a named curve."""


def generation_of(storage: KeyStorage, record: KeyRecord) -> Generation:
    """How to generate the key of *record*. Raises `KeyStoreError` of kind OTHER for other types than RSA and EC."""
    match record.gen_type:
        case KeyAlgorithm.RSA:
            return Generation(algorithm="RSA", bits=max(record.gen_size, MINIMUM_RSA_BITS))
        case KeyAlgorithm.EC:
            return Generation(algorithm="EC", curve=der.oid(CURVES[curve_for(record.gen_size).name]).hex())
        case other:
            reason = f"New keys in databases and tokens are RSA or EC keys only, not {other.value}."
            raise KeyStoreError(FailureKind.OTHER, storage.location, reason)
