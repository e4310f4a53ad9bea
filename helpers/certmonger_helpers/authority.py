"""A small CA in a directory: `creds` (key and certificates), `serial` (the next number), `lock`.

certmonger's own helper uses the same files, and the same kind of lock, so both can take turns.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certmonger_helpers.credentials import Credentials, decode_credentials, encode_credentials
from certmonger_helpers.protocol import Unconfigured, Unreachable
from certmongerd.config.durations import Duration
from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import DEFAULT_RSA_BITS, KeyAlgorithm
from certmongerd.pki import der
from certmongerd.pki.issue import (
    MAX_SERIAL,
    Issuer,
    SigningRequest,
    authority_extensions,
    issue_certificate,
    key_identifier,
)
from certmongerd.pki.keys import generate_private_key, spki_of_key
from certmongerd.store.files import TEMPORARY_PREFIX, write_durably

NAME: Final = "Local Signing Authority"
_COMMON_NAME: Final = "2.5.4.3"
_MAX_SERIAL_FILE_BYTES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The CA in *directory*. Every operation holds the lock, and makes or renews the CA when it is time."""

    directory: Path
    validity: Duration
    """Life of issued certificates, which never outlive the CA's current one."""
    ca_validity: Duration
    """Life of the next certificate of the CA; after half of it another one follows."""
    key_type: KeyAlgorithm = KeyAlgorithm.RSA
    """Algorithm of the CA's next key; one that exists is used until the CA is renewed."""
    key_bits: int = DEFAULT_RSA_BITS
    has_unique_ids: bool = False
    """Whether the CA's own certificate gets issuer and subject unique identifiers."""

    def issue(self, request: SigningRequest, now: datetime) -> x509.Certificate:
        """Issue a certificate; its number counts as used before it exists.

        Raises Unreachable when the lock cannot be had, Unconfigured when the files cannot be used.
        """
        with self._locked():
            credentials = self._current(now)
            serial = self._take_serial()
            return issue_certificate(
                subject_der=request.subject_der,
                spki=request.spki,
                extensions=request.extensions,
                issuer=_issuer(credentials),
                serial=serial,
                not_before=now,
                not_after=min(self.validity.add_to(now), credentials.certificates[0].not_valid_after_utc),
            )

    def certificates(self, now: datetime) -> tuple[x509.Certificate, ...]:
        """The CA's certificates: the current one, then the older ones, the oldest first."""
        with self._locked():
            return self._current(now).certificates

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; waits for others."""
        path = self.directory / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise Unreachable(f"Lock file {path} cannot be opened: {exc.strerror}") from exc
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _current(self, now: datetime) -> Credentials:
        """The CA's credentials, made or renewed if necessary."""
        path = self.directory / "creds"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return self._create(now)
        except OSError as exc:
            raise Unconfigured(f"{path} cannot be read: {exc.strerror}") from exc
        try:
            credentials = decode_credentials(data)
        except InvalidValue as exc:
            raise Unconfigured(f"{path}: {exc.reason}") from exc
        current, *older = credentials.certificates
        half_life = (current.not_valid_after_utc - current.not_valid_before_utc) / 2
        if now < current.not_valid_before_utc + half_life:
            return credentials
        return self._certify(current.subject.public_bytes(), self._take_serial(), now, (*older, current))

    def _create(self, now: datetime) -> Credentials:
        """Make a new CA. Its name holds the number of its first certificate, so that no two CAs have one name."""
        identity = uuid.uuid4()
        digits = identity.hex
        groups = "-".join(digits[at : at + 8] for at in range(0, 32, 8))
        name = der.sequence(_common_name(NAME), _common_name(groups))
        self._write("serial", _encode_serial(identity.int + 1))
        return self._certify(name, identity.int, now, ())

    def _certify(self, name_der: bytes, serial: int, now: datetime, older: tuple[x509.Certificate, ...]) -> Credentials:
        """Make a new key and its certificate, and store them before the older certificates."""
        key = generate_private_key(self.key_type, self.key_bits)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise Unconfigured(f"The key of the local CA is an RSA or EC key, not {self.key_type.value}.")
        spki = spki_of_key(key)
        certificate = issue_certificate(
            subject_der=name_der,
            spki=spki,
            extensions=authority_extensions(spki),
            issuer=Issuer(name_der=name_der, key=key, identifier=key_identifier(spki)),
            serial=serial,
            not_before=now,
            not_after=self.ca_validity.add_to(now),
            unique_id=uuid.uuid4().bytes if self.has_unique_ids else None,
        )
        credentials = Credentials(key=key, certificates=(certificate, *older))
        self._write("creds", encode_credentials(credentials, NAME))
        return credentials

    def _take_serial(self) -> int:
        """The next number, which is taken from now on. A lost file means a new random start."""
        path = self.directory / "serial"
        try:
            with path.open("rb") as stream:
                serial = _decode_serial(stream.read(_MAX_SERIAL_FILE_BYTES))
        except FileNotFoundError:
            serial = uuid.uuid4().int
        except OSError as exc:
            raise Unconfigured(f"{path} cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise Unconfigured(f"{path} does not hold a usable serial number; no number is used twice") from exc
        self._write("serial", _encode_serial(serial + 1))
        return serial

    def _write(self, name: str, data: bytes) -> None:
        """Replace one of the files."""
        path = self.directory / name
        try:
            # The lock is held, so the name is free; and what a killed helper left is overwritten by the next one.
            write_durably(path, data, temporary_name=f"{TEMPORARY_PREFIX}{name}.tmp")
        except OSError as exc:
            raise Unreachable(f"{path} cannot be written: {exc.strerror}") from exc


def _issuer(credentials: Credentials) -> Issuer:
    """The CA as signer. Its key identifier is what its certificate says, for keys of other programs."""
    current = credentials.certificates[0]
    try:
        identifier = current.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, ValueError):
        identifier = key_identifier(spki_of_key(credentials.key))
    return Issuer(name_der=current.subject.public_bytes(), key=credentials.key, identifier=identifier)


def _common_name(value: str) -> bytes:
    """An RDN with one CN attribute."""
    return der.set_of(der.sequence(der.oid(_COMMON_NAME), der.text(der.UTF8_STRING, value)))


def _encode_serial(serial: int) -> bytes:
    """The octets of the DER INTEGER in upper-case hexadecimal, one line."""
    return serial.to_bytes(serial.bit_length() // 8 + 1, "big").hex().upper().encode() + b"\n"


def _decode_serial(data: bytes) -> int:
    """The reverse; ValueError for what is not a positive number of at most 20 octets."""
    serial = int.from_bytes(bytes.fromhex(data.decode("ascii").strip()), "big")
    if not 0 < serial <= MAX_SERIAL:
        raise ValueError("out of range")
    return serial
