"""The daemon's side of SCEP: making messages and opening replies, with the request's keys.

Private keys never leave the daemon: the helper gets finished messages and
hands back the reply's envelope.
"""

import secrets
from datetime import datetime
from typing import Final

from cryptography import x509

from certmongerd.core.errors import InvalidValue, QueryRefused, RemoteProtocolError
from certmongerd.core.events import Issued, ScepBuilt, ScepImpossible, ScepObstacle
from certmongerd.core.model import Ca, NamedCertificate, Request
from certmongerd.keystore.store import KeyStore, open_key_store
from certmongerd.pki.certs import spki_of, to_pem
from certmongerd.pki.chains import order_bag
from certmongerd.pki.keys import PrivateKey
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.certificates import load_certificate
from certmongerd.scep.client import (
    MissingEncryptionCertificate,
    NotRsaKey,
    ScepInputs,
    build_messages,
    decrypt_reply,
)
from certmongerd.scep.delivery import open_reply as decrypt
from certmongerd.scep.query import build_query, certificate_answer, crl_answer

_NONCE_BYTES: Final = 16


def make_messages(request: Request, ca: Ca, now: datetime) -> ScepBuilt | ScepImpossible:
    """SCEP messages with a fresh nonce. Raises KeyStoreError."""
    try:
        messages = build_messages(_inputs(request, ca, now))
    except MissingEncryptionCertificate as error:
        return ScepImpossible(obstacle=ScepObstacle.NO_ENCRYPTION_CERTIFICATE, reason=str(error))
    except NotRsaKey as error:
        return ScepImpossible(obstacle=ScepObstacle.NOT_RSA, reason=str(error))
    except InvalidValue as error:
        return ScepImpossible(obstacle=ScepObstacle.BAD_SETTING, reason=f"No SCEP message can be made: {error}")
    return ScepBuilt(messages=messages)


def make_query(request: Request, ca: Ca, now: datetime, *, wants_crl: bool, serial: int | None) -> str:
    """PEM of a GetCRL or GetCert. Raises QueryRefused and KeyStoreError."""
    try:
        return build_query(_inputs(request, ca, now), wants_crl=wants_crl, serial=serial)
    except (InvalidValue, MissingEncryptionCertificate) as error:
        raise QueryRefused(f'The CA "{ca.id}" cannot be asked: {error}') from error


def open_answer(request: Request, ca: Ca, enveloped: bytes, *, wants_crl: bool) -> str:
    """PEM out of the answer to a query. Raises QueryRefused and KeyStoreError."""
    current, _ = _keys(request)
    try:
        return decrypt(
            enveloped, [(current, _addressees(request))], crl_answer if wants_crl else certificate_answer, ca=ca
        )
    except RemoteProtocolError as error:
        raise QueryRefused(f'The answer of the CA "{ca.id}" cannot be used: {error}') from error


def _inputs(request: Request, ca: Ca, now: datetime) -> ScepInputs:
    current, candidate = _keys(request)
    return ScepInputs(
        csr=request.csr,
        ca=ca,
        key=current,
        key_next=candidate,
        certificate=request.cert,
        old=request.scep,
        nickname=request.id,
        is_polling=bool(request.ca_cookie),
        now=now,
        nonce=secrets.token_bytes(_NONCE_BYTES),
        random_bytes=secrets.token_bytes,
    )


def open_reply(request: Request, ca: Ca, enveloped: bytes) -> Issued:
    """The certificate in an EnvelopedData for one of the request's keys.

    Certificates beside it become its chain. Raises RemoteProtocolError and KeyStoreError.
    """
    current, candidate = _keys(request)
    keys = [(key, _addressees(request)) for key in (candidate, current) if key is not None]
    certificates = decrypt_reply(enveloped, keys, ca=ca)
    own = {request.signing_key.pubkey_info, request.key.pubkey_info}
    leaf = next((certificate for certificate in certificates if spki_of(certificate) in own), None)
    if leaf is None:
        leaf = order_bag(certificates).leaf
    others = [certificate for certificate in certificates if certificate is not leaf]
    chain = tuple(
        NamedCertificate(nickname=f"chain #{number}", pem=to_pem(certificate))
        for number, certificate in enumerate(others, 1)
    )
    return Issued(cert=to_pem(leaf), spki=spki_of(leaf), chain=chain)


def _keys(request: Request) -> tuple[PrivateKey, PrivateKey | None]:
    store: KeyStore = open_key_store(request.key_storage.type)
    storage, marker = request.key_storage, request.key_next_marker
    candidate = store.private_key(storage, marker, known_spki=request.key_next.pubkey_info) if marker else None
    return store.private_key(storage, known_spki=request.key.pubkey_info), candidate


def _addressees(request: Request) -> list[x509.Certificate]:
    """The certificates that a reply may be addressed to."""
    found = []
    if request.scep.minicert:
        found.append(load_certificate(request.scep.minicert))
    if request.cert:
        found += certificates_in(request.cert.encode())
    return found
