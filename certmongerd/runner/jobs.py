"""The work on keys and certificates that actions are made of. Everything here blocks.

It is done by a thread of the daemon, or by a process that works for it (see `work_process`). So what a function gets
and gives can be pickled, and all of them may be called a second time where nobody knows how the first call ended.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, ParamSpec, TypeVar

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError, RemoteProtocolError
from certmongerd.core.events import Answer, CertAbsent, CertRead, CsrBuilt, EffectResult, Impossible, Issued, Unusable
from certmongerd.core.model import Ca, CertStorage, KeyRecord, KeyStorage, Request, StorageType, Template
from certmongerd.core.secret import Secret
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.links import located
from certmongerd.keystore.pairs import save_pair
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.keystore.store import open_key_store
from certmongerd.pki.certs import parse_certificate, spki_of, to_pem
from certmongerd.pki.chains import is_issued_by
from certmongerd.pki.csr import build_csr, build_spkac
from certmongerd.pki.issue import self_signed
from certmongerd.pki.keys import KeyFacts, PrivateKey
from certmongerd.pki.reply import EnvelopedReply, parse_issued
from certmongerd.runner.found import cert_read
from certmongerd.store.secret_file import secret_file

_P = ParamSpec("_P")
_T = TypeVar("_T")
_MEBIBYTE: Final = 1 << 20


def read_key(
    storage: KeyStorage, marker: str, known_spki: bytes, cert_storage: CertStorage | None
) -> tuple[KeyFacts | None, CertRead | CertAbsent | None]:
    """Read the key, and foresee the certificate where *cert_storage* says where it is. Raises KeyStoreError."""
    facts = open_key_store(storage.type).read_key(storage, marker, known_spki=known_spki)
    return facts, _foresee_certificate(cert_storage)


def look(storage: KeyStorage, cert_storage: CertStorage) -> tuple[KeyFacts | None, CertRead | CertAbsent | None] | None:
    """What `read_key` finds of a new request; None where it fails, which the next attempt tells."""
    with suppress(KeyStoreError):
        return read_key(storage, "", b"", cert_storage)
    return None


def in_turn(first: Callable[[], None], then: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call *first*, and *then* if it raised nothing. Raises what they raise."""
    first()
    return then(*args, **kwargs)


def save(
    cert: str,
    cert_storage: CertStorage,
    key_storage: KeyStorage,
    *,
    marker: str,
    preserve_as: str,
    known_spki: bytes,
    user: str,
) -> tuple[Saved, CertRead | CertAbsent | None]:
    """Store the certificate (see `save_pair`), and foresee what reading it gives. Raises KeyStoreError."""
    saved = save_pair(
        cert, cert_storage, key_storage, marker=marker, preserve_as=preserve_as, known_spki=known_spki, user=user
    )
    return saved, _foresee_certificate(cert_storage)


def is_foreseeable(storage: CertStorage) -> bool:
    """Whether reading it is so little that it is done along with something else."""
    return storage.type is StorageType.FILE  # others take a process, which has a time limit of its own


def _foresee_certificate(storage: CertStorage | None) -> CertRead | CertAbsent | None:
    """What `ReadCert` would find; None where it is left to that."""
    if storage is None or not is_foreseeable(storage):
        return None
    try:
        return read_certificate(storage)
    except KeyStoreError:
        return None


def read_certificate(storage: CertStorage) -> CertRead | CertAbsent:
    """What is where the certificate belongs. Raises KeyStoreError."""
    pem = open_key_store(storage.type).read_certificate(storage)
    if pem is None:
        return CertAbsent()
    try:
        return cert_read(pem)
    except InvalidValue as error:
        raise KeyStoreError(FailureKind.OTHER, storage.location, error.reason) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """Where the key is that signs for a request."""

    storage: KeyStorage
    marker: str
    spki: bytes

    @classmethod
    def of(cls, request: Request) -> "SigningKey":
        """That of *request*: the candidate if there is one."""
        return cls(storage=request.key_storage, marker=request.key_next_marker, spki=request.signing_key.pubkey_info)

    def open(self) -> PrivateKey:
        """The key. Raises KeyStoreError, KeyMissing."""
        return open_key_store(self.storage.type).private_key(self.storage, self.marker, known_spki=self.spki)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrWanted:
    """What a signing request is to say."""

    template: Template
    digest: str
    friendly_name: str
    host_name: str
    """The subject where *template* names none."""


def sign_csr(signing_key: SigningKey, wanted: CsrWanted) -> CsrBuilt | Impossible:
    """Make the signing request. Raises KeyStoreError."""
    return _sign_csr(signing_key.open(), wanted)


def _sign_csr(key: PrivateKey, wanted: CsrWanted) -> CsrBuilt | Impossible:
    try:
        challenge = read_challenge(wanted.template)
        csr = build_csr(
            wanted.template,
            key,
            digest=wanted.digest,
            friendly_name=wanted.friendly_name,
            default_subject=wanted.host_name,
            challenge=challenge,
        )
    except InvalidValue as error:
        return Impossible(f"No signing request can be made: {error}")
    return CsrBuilt(csr=csr, spkac=build_spkac(key, challenge.reveal() if challenge else "", wanted.digest))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWanted:
    """What key is to be made."""

    storage: KeyStorage
    record: KeyRecord
    marker: str
    """What it is called as a candidate."""
    is_known: bool
    """Whether there may be a candidate of that name, whose place it takes."""
    cipher: str
    csr: CsrWanted
    """What comes next."""


def generate_key(wanted: KeyWanted) -> tuple[Generated, CsrBuilt | Impossible | None]:
    """Make and store a key, and foresee the signing request where the key is in a file. Raises KeyStoreError."""
    storage = wanted.storage
    store = open_key_store(storage.type)
    if wanted.is_known:
        # Whatever is wrong with the place, making the key there says it better.
        with suppress(KeyStoreError):
            store.discard_candidate(storage, wanted.marker)
    if not isinstance(store, FileKeyStore):
        return store.generate_key(storage, wanted.record, wanted.marker, wanted.cipher), None
    key = store.new_key(storage, wanted.record)
    return store.keep_key(storage, key, wanted.marker, wanted.cipher), _sign_csr(key, wanted.csr)


def generate_key_again(wanted: KeyWanted) -> tuple[Generated, CsrBuilt | Impossible | None]:
    """As `generate_key`, where that was interrupted: a first key may be there already."""
    if not wanted.is_known:
        facts = open_key_store(wanted.storage.type).read_key(wanted.storage)
        if facts is not None:
            return Generated(facts=facts, marker=""), None
    return generate_key(wanted)


def read_challenge(template: Template) -> Secret | None:
    """The challenge password of *template*; the file is read anew each time.

    Raises InvalidValue when the file cannot be read.
    """
    path = template.challenge_password_file
    if not path:
        return template.challenge_password
    try:
        with located(secret_file(path)) as place:
            text = place.read(_MEBIBYTE).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidValue(
            "template-challenge-password-file", f'challenge password file "{path}" cannot be read: {reason}'
        ) from error
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def sign_own(
    csr: str,
    signing_key: SigningKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    digest: str,
    unique_id: bytes | None,
) -> EffectResult:
    """Sign the request with its own key. Raises KeyStoreError."""
    key = signing_key.open()
    try:
        certificate = self_signed(
            csr,
            key,
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            digest=digest,
            unique_id=unique_id,
        )
    except InvalidValue as error:
        return Impossible(f"The request cannot be self-signed: {error}")
    return Issued(cert=to_pem(certificate), spki=spki_of(certificate))


def read_issued(request: Request, ca: Ca, output: bytes) -> tuple[Answer, bool]:
    """The certificates in what the helper of *ca* printed, and whether the CA issued them with a key not known yet.

    Raises KeyStoreError.
    """
    answer = _read_issued(request, ca, output)
    return answer, isinstance(answer, Issued) and _is_by_unknown_issuer(answer, ca)


def _read_issued(request: Request, ca: Ca, output: bytes) -> Answer:
    try:
        reply = parse_issued(output)
        if isinstance(reply, EnvelopedReply):
            from certmongerd.runner.scep_exchange import open_reply

            return open_reply(request, ca, reply.der)
        leaf = parse_certificate(reply.certificate)
    except (RemoteProtocolError, InvalidValue) as error:
        return Unusable(f'The answer of the CA "{ca.id}" holds no usable certificate: {error}')
    return Issued(cert=reply.certificate, spki=spki_of(leaf), chain=reply.chain, roots=reply.roots)


def _is_by_unknown_issuer(issued: Issued, ca: Ca) -> bool:
    """Whether *ca* is known by its certificates, and neither they nor what came along issued this one."""
    known = [*ca.root_certs, *ca.other_root_certs, *ca.other_certs]
    if not known:
        return False
    try:
        leaf = parse_certificate(issued.cert)
        candidates = (*known, *issued.chain, *issued.roots)
        return not any(is_issued_by(leaf, parse_certificate(each.pem)) for each in candidates)
    except InvalidValue:
        return False
