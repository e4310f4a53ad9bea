"""What has to be true of the files whenever no daemon runs, and what once everything has settled."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from nss_database import NssDatabase

from certmongerd.keystore.replacing import staged_name
from certmongerd.store.repository import Repository

_CANDIDATE = re.compile(r".+\.key\..{8}\.key")
_REMEMBERED: Final = 4096


PIN: Final = b"of the keys whose names end in p"


def spki_of_key(path: Path) -> bytes:
    return _spki_of_key(path.read_bytes(), PIN if path.stem.endswith("p") else None)


@lru_cache(_REMEMBERED)
def _spki_of_key(pem: bytes, pin: bytes | None) -> bytes:
    """Files seldom change from one kill to the next, and opening one with a PIN takes long on purpose."""
    key = load_pem_private_key(pem, pin, unsafe_skip_rsa_key_validation=True)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate_at(path: Path) -> x509.Certificate:
    return _certificate(path.read_bytes())


@lru_cache(_REMEMBERED)
def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def spki_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tracked(repository: Repository) -> set[str]:
    """The nicknames in the state files; each file is whole, and none is there twice."""
    loaded = repository.load()
    assert not loaded.problems, loaded.problems
    return {stored.value.id for stored in loaded.requests}


def check_pairs(certs: Path, *, is_settled: bool) -> None:
    """Every certificate is whole and belongs to the key beside it.

    Only when the daemon was killed between the two renames of an exchange, the certificate for the new key still waits
    beside its place; the next daemon starts with putting it there.
    """
    for certificate in certs.glob("r*.crt"):
        key = certificate.with_suffix(".key")
        if spki_of(certificate_at(certificate)) == spki_of_key(key):
            continue
        assert not is_settled, f"{certificate} does not belong to its key"
        staged = certificate.with_name(staged_name(certificate.name))
        assert staged.exists(), f"{certificate} does not belong to its key, and the new one is lost"
        assert spki_of(certificate_at(staged)) == spki_of_key(key), f"{staged} does not belong to {key}"


def leftovers(root: Path, *, with_candidates: bool = True) -> list[str]:
    """Temporary files and, unless one may be there, keys that wait for a certificate."""
    found = []
    for folder in ("requests", "cas", "local", "certs", "config"):
        for path in (root / folder).iterdir():
            is_temporary = path.name.startswith(".certmongerd-") or path.name.endswith(".tmp")
            if is_temporary or (with_candidates and _CANDIDATE.fullmatch(path.name)):
                found.append(f"{folder}/{path.name}")
    return found


def check_database(directory: Path, requests: Collection[str]) -> None:
    """Each certificate of *requests* is there once with its key; no other key is, but of requests that are gone."""
    if not any(directory.iterdir()):
        return
    database = NssDatabase(directory)
    certificates, keys = database.certificates(), [name for _, name in database.private_keys()]
    for name in requests:
        assert certificates.count((name, "u,u,u")) == 1, (name, certificates)
        assert keys.count(name) == 1, (name, keys)
    strangers = [name for name in keys if not re.fullmatch(r"r[0-9]+n", name)]
    assert not strangers, f"keys that nobody knows: {strangers}"


@dataclass
class Serials:
    """Every serial number of the CA `local` that was ever seen."""

    seen: dict[int, bytes] = field(default_factory=dict)

    def check(self, certs: Path) -> None:
        for path in certs.glob("r*.crt"):
            certificate = certificate_at(path)
            if "Local Signing Authority" not in certificate.issuer.rfc4514_string():
                continue
            der = certificate.public_bytes(Encoding.DER)
            assert self.seen.setdefault(certificate.serial_number, der) == der, f"serial used twice: {path}"
