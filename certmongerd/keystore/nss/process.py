"""The worker process for NSS databases: one operation on one database."""

import ctypes
import time
from collections.abc import Mapping
from contextlib import suppress
from ctypes import byref, c_uint
from typing import Final

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.keystore.nss.database import Certificate, Database, DatabaseLocked, Key, opened
from certmongerd.keystore.nss.library import OaepParameters, RsaParameters, SecItem, Trust, item
from certmongerd.keystore.nss.location import enter, is_there
from certmongerd.keystore.worker_process import Job, Operation, Value, serve

_CKM_RSA_PKCS_KEY_PAIR_GEN: Final = 0
_CKM_EC_KEY_PAIR_GEN: Final = 0x1040
_CKM_RSA_PKCS_OAEP: Final = 9
_CKZ_DATA_SPECIFIED: Final = 1
_LOOK_AGAIN_S: Final = 0.2
_RSA_EXPONENT: Final = 65537
_OAEP: Final = {"sha1": (0x220, 1), "sha256": (0x250, 2), "sha384": (0x260, 3), "sha512": (0x270, 4)}
"""CKM and CKG_MGF1 numbers of digests (PKCS #11, 6.1.7)."""


def read_key(job: Job) -> Mapping[str, Value]:
    """The public half of a key."""
    if not is_there(job.text("location")):
        return {"spki": None, "token": ""}
    with opened(job.text("location"), job.text("token"), read_only=True) as database:
        database.log_in(job.optional_text("pin"))
        key = _find_key(database, job.text("nickname"), job.binary("known_spki"))
        return {"spki": key.spki.hex() if key else None, "token": database.token}


def generate_key(job: Job) -> Mapping[str, Value]:
    """A new key: under its nickname when that is free, else as the candidate."""
    with opened(job.text("location"), job.text("token")) as database:
        database.log_in(job.optional_text("pin"), may_set=True)
        nickname = job.text("nickname")
        is_candidate = _find_key(database, nickname, b"") is not None
        if job.text("algorithm") == "RSA":
            key = database.generate(
                _CKM_RSA_PKCS_KEY_PAIR_GEN, RsaParameters(bits=job.number("bits"), exponent=_RSA_EXPONENT)
            )
        else:
            curve, _keep = item(job.binary("curve"))
            key = database.generate(_CKM_EC_KEY_PAIR_GEN, curve)
        key.rename(job.text("candidate") if is_candidate else nickname)
        return {"spki": key.spki.hex(), "is_candidate": is_candidate, "token": database.token}


def discard_key(job: Job) -> Mapping[str, Value]:
    """Remove the keys of a nickname that no certificate is for."""
    if is_there(job.text("location")):
        with opened(job.text("location"), job.text("token")) as database:
            database.log_in(job.optional_text("pin"))
            for key in database.private_keys():
                if key.nickname == job.text("nickname"):
                    key.delete_unless_certified()
    return {}


def sign(job: Job) -> Mapping[str, Value]:
    """Sign a DigestInfo (RSA) or digest (EC)."""
    with opened(job.text("location"), job.text("token"), read_only=True) as database:
        key = _key_of(database, job)
        nss = database.nss
        length = nss.signature_length(key.pointer)
        signature, _keep = item(bytes(max(length, 0)))
        block, _kept = item(job.binary("block"))
        if length <= 0 or nss.sign(key.pointer, byref(signature), byref(block)) != 0:
            raise nss.failure("The token cannot sign with the key")
        return {"signature": signature.content().hex()}


def decrypt(job: Job) -> Mapping[str, Value]:
    """Decrypt what was encrypted to an RSA key; None when it was not."""
    with opened(job.text("location"), job.text("token"), read_only=True) as database:
        key = _key_of(database, job)
        nss = database.nss
        ciphertext = job.binary("ciphertext")
        plaintext = ctypes.create_string_buffer(max(len(ciphertext), nss.signature_length(key.pointer)))
        size, given = c_uint(0), len(plaintext)
        if job.optional_text("digest") is None:
            status = nss.decrypt_pkcs1(key.pointer, plaintext, byref(size), given, ciphertext, len(ciphertext))
        else:
            parameters, _keep = _oaep_parameters(job)
            status = nss.decrypt(
                key.pointer,
                _CKM_RSA_PKCS_OAEP,
                byref(parameters),
                plaintext,
                byref(size),
                given,
                ciphertext,
                len(ciphertext),
            )
        return {"plaintext": plaintext.raw[: size.value].hex() if status == 0 else None}


def _oaep_parameters(job: Job) -> tuple[SecItem, object]:
    label = job.binary("label")
    label_buffer = ctypes.create_string_buffer(label, len(label))
    try:
        (digest, _), (_, mask) = _OAEP[job.text("digest")], _OAEP[job.text("mask_digest")]
    except KeyError as exc:
        raise KeyStoreError(FailureKind.OTHER, "", f"OAEP with {exc.args[0]} is not supported by NSS.") from exc
    parameters = OaepParameters(
        digest, mask, _CKZ_DATA_SPECIFIED, ctypes.addressof(label_buffer) if label else None, len(label)
    )
    content = SecItem(0, ctypes.addressof(parameters), ctypes.sizeof(parameters))
    return content, (parameters, label_buffer)


def read_certificates(job: Job) -> Mapping[str, Value]:
    """All certificates of a nickname."""
    if not is_there(job.text("location")):
        return {"certificates": [], "token": ""}
    with opened(job.text("location"), job.text("token"), read_only=True) as database:
        found = [c.der.hex() for c in database.certificates() if c.nickname == job.text("nickname")]
        return {"certificates": list(found), "token": database.token}


def survey(job: Job) -> Mapping[str, Value]:
    """Keys and certificates of many nicknames; no keys when the PIN does not open the token."""
    names = job.texts("key_nicknames"), job.texts("cert_nicknames"), job.texts("known_spkis")
    if not is_there(job.text("location")):
        return {"spkis": ["" for _ in names[0]], "certificates": ["" for _ in names[0]], "token": ""}
    with opened(job.text("location"), job.text("token"), read_only=True) as database:
        certificates = database.certificates()
        keys: list[Key] | None = None
        with suppress(KeyStoreError):
            database.log_in(job.optional_text("pin"))
            keys = database.private_keys()
        spkis, encoded = [], []
        for key_nickname, cert_nickname, known in zip(*names, strict=True):
            key = None
            if keys is not None:
                key = _find_among(database, certificates, keys, key_nickname, bytes.fromhex(known))
            spkis.append(key.spki.hex() if key else "")
            encoded.append(" ".join(c.der.hex() for c in certificates if c.nickname == cert_nickname))
        return {"spkis": spkis, "certificates": encoded, "token": database.token}


def save_certificate(job: Job) -> Mapping[str, Value]:
    """Store a certificate and, when it is for the candidate, make that the key; see `NssKeyStore.save_certificate`.

    In an order that leaves a usable pair under the nickname at any moment, and can be repeated from any.
    """
    with opened(job.text("location"), job.text("token")) as database:
        database.log_in(job.optional_text("pin"), may_set=True)
        der, nickname = job.binary("certificate"), job.text("nickname")
        key = _certified_key(database, job) if job.flag("has_key") else None
        replaced = _keys_to_replace(database, key, job) if key is not None else []
        if job.text("location").startswith("dbm:"):
            _require_one_nickname(database, job.binary("subject"), nickname)
        _put_certificate(database, der, job.binary("subject"), nickname)
        is_swapped = key is not None and _give_name(key, replaced, job)
        return {"is_swapped": is_swapped, "token": database.token}


def adopt_key(job: Job) -> Mapping[str, Value]:
    """Let the candidate be the key of a certificate that is stored elsewhere."""
    with opened(job.text("location"), job.text("token")) as database:
        database.log_in(job.optional_text("pin"))
        key = _certified_key(database, job)
        return {"is_swapped": _give_name(key, _keys_to_replace(database, key, job), job)}


def _give_name(key: Key, replaced: list[Key], job: Job) -> bool:
    """Let *key* have the nickname, and *replaced* go, or lose theirs; whether it did not have it yet."""
    is_swapped = key.nickname != job.text("key_nickname")
    if is_swapped:
        key.rename(job.text("key_nickname"))
    for other in replaced:
        if job.flag("preserve") and other.nickname != job.text("candidate"):
            other.rename("")
        else:
            other.delete_unless_certified()
    return is_swapped


def save_authorities(job: Job) -> Mapping[str, Value]:
    """Store CA certificates with their nicknames and trust flags; what else is in the database stays."""
    columns = ("certificates", "subjects", "nicknames", "trust")
    given = zip(*(job.texts(column) for column in columns), strict=True)
    with opened(job.text("location"), "") as database:
        is_old_format = job.text("location").startswith("dbm:")
        database.open_for_authorities(job.optional_text("pin"), is_old_format=is_old_format)
        for encoded, subject, nickname, trust in given:
            der = bytes.fromhex(encoded)
            if _named(database, der) is None:
                name = _free_nickname(database, nickname, bytes.fromhex(subject))
                database.import_certificate(der, bytes.fromhex(subject), name)
            stored = _named(database, der)
            if stored is not None:
                stored.set_trust(database.trust_of(trust))
        return {}


def _named(database: Database, der: bytes) -> Certificate | None:
    return next((certificate for certificate in database.certificates() if certificate.der == der), None)


def _free_nickname(database: Database, nickname: str, subject: bytes) -> str:
    """*nickname*, or with a number when that is another subject's: NSS has no two subjects under one nickname."""
    taken = {c.nickname for c in database.certificates() if c.subject != subject}
    names = (nickname, *(f"{nickname} #{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _certified_key(database: Database, job: Job) -> Key:
    """The key that the certificate is for, which is the present one or the candidate."""
    names = (job.text("key_nickname"), job.text("candidate"))
    mine = [key for key in database.private_keys() if key.spki == job.binary("spki")]
    for name in names:
        for key in mine:
            if key.nickname == name:
                return key
    known = _find_key(database, names[0], job.binary("spki"))
    if known is None or known.spki != job.binary("spki"):
        reason = "The certificate is for another key than the one in the database, and is not stored."
        raise KeyStoreError(FailureKind.OTHER, "", reason)
    known.nickname = names[0]  # found by a certificate of that name; it may be called anything
    return known


def _put_certificate(database: Database, der: bytes, subject: bytes, nickname: str) -> None:
    """Let *der* be the one certificate called *nickname*, trusted as the one before."""
    present = database.certificates()
    same_name = [certificate for certificate in present if certificate.nickname == nickname]
    trust = _kept_trust(same_name)
    for certificate in same_name:
        if certificate.subject != subject:  # NSS refuses two subjects under one nickname
            certificate.delete()
    if all(certificate.der != der for certificate in same_name):
        database.import_certificate(der, subject, nickname)
    for certificate in database.certificates():
        if certificate.der == der and trust is not None:
            certificate.set_trust(trust)
        if certificate.der != der and certificate.nickname == nickname:
            certificate.delete()


def _require_one_nickname(database: Database, subject: bytes, nickname: str) -> None:
    """In the old format a subject has one nickname; another would be ignored."""
    for certificate in database.certificates():
        if certificate.subject == subject and certificate.nickname != nickname:
            reason = (
                "A dbm: database has one nickname for all certificates of a subject, here "
                f'"{certificate.nickname}"; use that, or an sql: database.'
            )
            raise KeyStoreError(FailureKind.OTHER, "", reason)


def _kept_trust(certificates: list[Certificate]) -> Trust | None:
    """The trust flags that the certificates have so far, if there are any."""
    found = [trust for certificate in certificates if (trust := certificate.trust()) is not None]
    return found[0] if found else None


def _keys_to_replace(database: Database, key: Key, job: Job) -> list[Key]:
    """The keys that the nickname, its certificates or the candidate's nickname lead to, but for *key*."""
    names = (job.text("key_nickname"), job.text("candidate"))
    # A key that is known by its certificate only has no nickname of its own.
    certified = {
        found.spki
        for certificate in database.certificates()
        if certificate.nickname == job.text("nickname") and (found := database.key_for(certificate)) is not None
    }
    return [
        other
        for other in database.private_keys()
        if other.spki != key.spki and (other.nickname in names or (not other.nickname and other.spki in certified))
    ]


def _key_of(database: Database, job: Job) -> Key:
    """The key with a public half that is known."""
    database.log_in(job.optional_text("pin"))
    for key in database.private_keys():
        if key.spki == job.binary("spki"):
            return key
    raise KeyStoreError(FailureKind.TOKEN, "", "The private key is no longer in the database.")


def _find_key(database: Database, nickname: str, known_spki: bytes) -> Key | None:
    """The key called *nickname*, or that of a certificate called so.

    Of several the one whose public half is known, then one with a certificate.
    """
    certificates = database.certificates() if nickname else []
    return _find_among(database, certificates, database.private_keys(), nickname, known_spki)


def _find_among(
    database: Database, certificates: list[Certificate], keys: list[Key], nickname: str, known_spki: bytes
) -> Key | None:
    named = [certificate for certificate in certificates if nickname and certificate.nickname == nickname]
    found = [key for certificate in named if (key := database.key_for(certificate)) is not None]
    found += [key for key in keys if key.nickname == nickname]
    known = [key for key in found if key.spki == known_spki]
    return next(iter(known or found), None)


def _in_its_directory(operation: Operation) -> Operation:
    """*operation*, done inside the directory of the database."""

    def run(job: Job) -> Mapping[str, Value]:
        try:
            inside = enter(job.text("location"))
        except (FileNotFoundError, NotADirectoryError) as exc:
            # certmonger's state where a key is to be made
            kind = FailureKind.PERMS if operation is generate_key else FailureKind.OTHER
            raise KeyStoreError(kind, "", f"There is no database directory: {exc.strerror}") from exc
        except PermissionError as exc:
            raise KeyStoreError(FailureKind.PERMS, "", f"The database may not be opened: {exc.strerror}") from exc
        return _when_unlocked(operation, job.at(inside))

    return run


def _when_unlocked(operation: Operation, job: Job) -> Mapping[str, Value]:
    """Do *operation*, but give others a tenth of the time for what they are writing."""
    deadline = time.monotonic() + job.number("limit_s") / 10
    while True:
        try:
            return operation(job)
        except DatabaseLocked:
            if time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_AGAIN_S)


def main() -> None:
    """Be the worker process."""
    operations = (
        read_key,
        generate_key,
        discard_key,
        sign,
        decrypt,
        read_certificates,
        survey,
        save_certificate,
        adopt_key,
        save_authorities,
    )
    serve({operation.__name__: _in_its_directory(operation) for operation in operations})


if __name__ == "__main__":
    main()
