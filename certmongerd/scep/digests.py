"""Digest names as the cryptographic library's objects."""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes

from certmongerd.scep.oids import Digest

_ALGORITHMS: Final[Mapping[Digest, type[hashes.HashAlgorithm]]] = {
    Digest.MD5: hashes.MD5,
    Digest.SHA1: hashes.SHA1,
    Digest.SHA224: hashes.SHA224,
    Digest.SHA256: hashes.SHA256,
    Digest.SHA384: hashes.SHA384,
    Digest.SHA512: hashes.SHA512,
}


def hash_algorithm(digest: Digest) -> hashes.HashAlgorithm:
    """The library's object for *digest*."""
    return _ALGORITHMS[digest]()


def digest_of(digest: Digest, data: bytes) -> bytes:
    """The digest of *data*."""
    context = hashes.Hash(hash_algorithm(digest))
    context.update(data)
    return context.finalize()
