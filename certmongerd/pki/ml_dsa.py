"""ML-DSA keys (FIPS 204), which newer releases of cryptography have, and only with newer releases of OpenSSL."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import KeyAlgorithm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import mldsa
    from cryptography.hazmat.primitives.asymmetric.mldsa import (
        MLDSA44PrivateKey,
        MLDSA44PublicKey,
        MLDSA65PrivateKey,
        MLDSA65PublicKey,
        MLDSA87PrivateKey,
        MLDSA87PublicKey,
    )

    MlDsaPrivateKey = MLDSA44PrivateKey | MLDSA65PrivateKey | MLDSA87PrivateKey
    MlDsaPublicKey = MLDSA44PublicKey | MLDSA65PublicKey | MLDSA87PublicKey
else:
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa
    except ImportError:
        mldsa = None

        class MlDsaPrivateKey:
            """Of which there are no instances."""

        class MlDsaPublicKey:
            """Of which there are none either."""

    else:
        MlDsaPrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
        MlDsaPublicKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey

SIGNATURES: Final[Mapping[KeyAlgorithm, str]] = {
    KeyAlgorithm.ML_DSA_44: "2.16.840.1.101.3.4.3.17",
    KeyAlgorithm.ML_DSA_65: "2.16.840.1.101.3.4.3.18",
    KeyAlgorithm.ML_DSA_87: "2.16.840.1.101.3.4.3.19",
}
"""OIDs of both keys and signatures (RFC 9881, section 3)."""


def generate_ml_dsa(algorithm: KeyAlgorithm) -> MlDsaPrivateKey:
    """Make a key. Raises InvalidValue when the library cannot."""
    if mldsa is None:
        raise InvalidValue("key-type", f"The installed release of cryptography has no {algorithm.value} keys.")
    try:
        if algorithm is KeyAlgorithm.ML_DSA_44:
            return mldsa.MLDSA44PrivateKey.generate()
        if algorithm is KeyAlgorithm.ML_DSA_65:
            return mldsa.MLDSA65PrivateKey.generate()
        return mldsa.MLDSA87PrivateKey.generate()
    except UnsupportedAlgorithm as exc:
        text = f"The OpenSSL that the installed cryptography uses has no {algorithm.value} keys."
        raise InvalidValue("key-type", text) from exc


def ml_dsa_algorithm(key: MlDsaPrivateKey | MlDsaPublicKey) -> KeyAlgorithm:
    """Which of the three *key* is."""
    if isinstance(key, mldsa.MLDSA44PrivateKey | mldsa.MLDSA44PublicKey):
        return KeyAlgorithm.ML_DSA_44
    if isinstance(key, mldsa.MLDSA65PrivateKey | mldsa.MLDSA65PublicKey):
        return KeyAlgorithm.ML_DSA_65
    return KeyAlgorithm.ML_DSA_87


@cache
def has_ml_dsa() -> bool:
    """Whether the installed libraries have these keys. Asks by making one, in less than a millisecond."""
    try:
        generate_ml_dsa(KeyAlgorithm.ML_DSA_44)
    except InvalidValue:
        return False
    return True
