"""The worker process for PKCS #11 tokens: one operation in one token."""

import glob
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.pkcs11_uri import Pkcs11Uri, parse_uri
from certmongerd.keystore.worker_process import Job, Value, serve
from certmongerd.pki import der

try:
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
    from pkcs11 import exceptions as errors
except ImportError as error:  # told when there is a job
    _missing: ImportError | None = error
else:
    _missing = None

_ID_BYTES: Final = 16
_P11_KIT: Final = "libp11-kit.so.0"
"""Offers the tokens of all modules that the system is configured with, through the same interface."""
_MODULE_FOLDERS: Final = (
    "/usr/lib/*/pkcs11",
    "/usr/lib/pkcs11",
    "/usr/lib64/pkcs11",
    "/usr/lib/*",
    "/usr/lib/*/softhsm",
    "/usr/lib/softhsm",
    "/usr/lib",
    "/usr/lib64",
)
_RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
_EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
_POINT_BYTES: Final = (65, 97, 133)
"""Lengths of uncompressed points on P-256, P-384 and P-521."""
_NOT_OURS: Final = ("EncryptedDataInvalid", "EncryptedDataLenRange", "FunctionFailed", "GeneralError", "DataInvalid")
"""How tokens answer a ciphertext that was made for another key."""
_KINDS: Final = {
    **dict.fromkeys(
        ("PinIncorrect", "PinInvalid", "PinLenRange", "PinLocked", "PinExpired", "UserNotLoggedIn"), FailureKind.PIN
    ),
    "UserPinNotInitialized": FailureKind.PIN,
    **dict.fromkeys(
        ("NoSuchToken", "TokenNotPresent", "TokenNotRecognised", "DeviceRemoved", "SlotIDInvalid"), FailureKind.TOKEN
    ),
    **dict.fromkeys(("TokenWriteProtected", "SessionReadOnly", "AttributeReadOnly"), FailureKind.PERMS),
}


class _Key:
    """A private key in the token."""

    def __init__(self, session: Any, private: Any) -> None:  # python-pkcs11's classes are made at run time
        self._session = session
        self.private = private
        self.is_rsa = private.key_type == KeyType.RSA
        self.spki = self._rsa_spki() if self.is_rsa else self._ec_spki()
        """DER SubjectPublicKeyInfo; empty when the token does not tell."""

    def _rsa_spki(self) -> bytes:
        numbers = (
            int.from_bytes(self.private[attribute], "big")
            for attribute in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)
        )
        algorithm = der.algorithm_with_null(_RSA_ENCRYPTION)
        return der.sequence(algorithm, der.bit_string(der.sequence(*(der.integer(number) for number in numbers))))

    def _ec_spki(self) -> bytes:
        for public in self._halves(ObjectClass.PUBLIC_KEY):
            point: bytes = public[Attribute.EC_POINT]
            # Some tokens leave out the OCTET STRING around the point, which begins with 4 as well.
            if len(point) not in _POINT_BYTES:
                point = der.decode(point, der.OCTET_STRING).content
            algorithm = der.sequence(der.oid(_EC_PUBLIC_KEY), public[Attribute.EC_PARAMS])
            return der.sequence(algorithm, der.bit_string(point))
        return b""

    def _halves(self, kind: Any) -> list[Any]:
        identifier = self.private[Attribute.ID]
        return list(self._session.get_objects({Attribute.CLASS: kind, Attribute.ID: identifier})) if identifier else []

    def rename(self, label: str, identifier: bytes) -> None:
        """Give both halves a label, and an ID unless that is empty."""
        for half in (*self._halves(ObjectClass.PUBLIC_KEY), self.private):
            half[Attribute.LABEL] = label
            if identifier:
                half[Attribute.ID] = identifier

    def destroy(self) -> None:
        """Remove both halves."""
        for half in (*self._halves(ObjectClass.PUBLIC_KEY), self.private):
            half.destroy()


class _Token:
    """An open token."""

    def __init__(self, session: Any, uri: Pkcs11Uri, name: str) -> None:
        self.session = session
        self.uri = uri
        self.name = name

    def private_keys(self, candidate: str = "") -> list[_Key]:
        """The keys that the URI names, or those with the label of a candidate."""
        template: dict[Any, object] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        if candidate or self.uri.object:
            template[Attribute.LABEL] = candidate or self.uri.object
        if self.uri.id and not candidate:
            template[Attribute.ID] = self.uri.id
        found = [self._key(private) for private in list(self.session.get_objects(template))]  # one search at a time
        return [key for key in found if key is not None]

    def _key(self, private: Any) -> _Key | None:
        return _Key(self.session, private) if private.key_type in (KeyType.RSA, KeyType.EC) else None

    def require_free_id(self) -> None:
        """Refuse an ID that a key of another label has: the halves of a pair are found by it."""
        template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: self.uri.id}
        taken = list(self.session.get_objects(template)) if self.uri.id else []
        if taken:
            reason = f'The id of the URI is that of another key of the token, labelled "{taken[0].label}".'
            raise KeyStoreError(FailureKind.OTHER, "", reason)

    def generate(self, job: Job, label: str, identifier: bytes) -> _Key:
        """A new key pair that the token never gives out."""
        attributes: dict[str, object] = {
            "id": identifier,
            "label": label,
            "store": True,
            "private_template": {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        }
        if job.text("algorithm") == "RSA":
            _, private = self.session.generate_keypair(KeyType.RSA, job.number("bits"), **attributes)
        else:
            parameters = self.session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: job.binary("curve")}, local=True
            )
            _, private = parameters.generate_keypair(**attributes)
        return _Key(self.session, private)


@contextmanager
def _opened(job: Job, *, writing: bool = False) -> Iterator[_Token]:
    """The token that the job's location names. Errors of the token become `KeyStoreError`."""
    if _missing is not None:
        reason = f"python-pkcs11 is needed for tokens (pip install 'certmongerd[pkcs11]'): {_missing}"
        raise KeyStoreError(FailureKind.TOKEN, "", reason)
    try:
        uri = parse_uri(job.text("location"))
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.TOKEN, "", exc.reason) from exc
    module = _module(uri)
    try:
        token = _find_token(_load(module), uri)
        pin = job.optional_text("pin")
        if pin is None and token.flags & pkcs11.TokenFlag.LOGIN_REQUIRED:
            raise KeyStoreError(FailureKind.PIN, "", f'The token "{token.label}" needs a PIN and none is known.')
        with token.open(rw=writing, user_pin=pin) as session:
            yield _Token(session, uri, token.label)
    except errors.PKCS11Error as exc:
        name = type(exc).__name__
        told = f" ({exc})" if str(exc) else ""
        raise KeyStoreError(_KINDS.get(name, FailureKind.OTHER), "", f"The token answered {name}{told}.") from exc


def _load(module: str) -> Any:
    try:
        return pkcs11.lib(module)
    except (RuntimeError, OSError, errors.PKCS11Error) as exc:
        told = str(exc) or type(exc).__name__
        raise KeyStoreError(FailureKind.TOKEN, "", f"The module {module} cannot be loaded: {told}") from exc


def _module(uri: Pkcs11Uri) -> str:
    """The library to load: a path, or a name that the system's loader knows."""
    if uri.module_path or not uri.module_name:
        return uri.module_path or _P11_KIT
    names = (f"{uri.module_name}.so", f"lib{uri.module_name}.so")
    for pattern in _MODULE_FOLDERS:
        for folder in sorted(glob.glob(pattern)):
            for name in names:
                if os.path.isfile(os.path.join(folder, name)):
                    return os.path.join(folder, name)
    raise KeyStoreError(FailureKind.TOKEN, "", f'There is no module called "{uri.module_name}" on this system.')


def _find_token(library: Any, uri: Pkcs11Uri) -> Any:
    """The one token that fits the URI."""
    found = [token for token in library.get_tokens() if _fits(token, uri)]
    if len(found) == 1:
        return found[0]
    labels = ", ".join(sorted(f'"{token.label}"' for token in found))
    reason = f"Several tokens fit the URI: {labels}." if found else "No token fits the URI."
    raise KeyStoreError(FailureKind.TOKEN, "", reason)


def _fits(token: Any, uri: Pkcs11Uri) -> bool:
    if not token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
        return False
    wanted = (
        (uri.token, token.label),
        (uri.manufacturer, token.manufacturer_id),
        (uri.serial, token.serial.decode("utf-8", "replace")),
        (uri.model, token.model),
    )
    return all(not text or text == present.rstrip() for text, present in wanted) and (
        uri.slot_id is None or uri.slot_id == token.slot.slot_id
    )


def read_key(job: Job) -> Mapping[str, Value]:
    """The public half of the key, or of a candidate; of several the known one."""
    with _opened(job) as token:
        keys = token.private_keys(job.text("candidate"))
        known = [key for key in keys if key.spki == job.binary("known_spki")]
        if not keys:
            return {"spki": None, "token": token.name}
        spki = (known or keys)[0].spki
        if not spki:
            raise KeyStoreError(FailureKind.OTHER, "", "The token has no public key that belongs to the private key.")
        return {"spki": spki.hex(), "token": token.name}


def generate_key(job: Job) -> Mapping[str, Value]:
    """A new key: under its name when that is free, else as the candidate."""
    with _opened(job, writing=True) as token:
        is_candidate = bool(token.private_keys())
        identifier = os.urandom(_ID_BYTES)
        if is_candidate:
            key = token.generate(job, job.text("candidate"), identifier)
        else:
            token.require_free_id()
            key = token.generate(job, token.uri.object, token.uri.id or identifier)
        return {"spki": key.spki.hex(), "is_candidate": is_candidate, "token": token.name}


def discard_key(job: Job) -> Mapping[str, Value]:
    """Remove a candidate."""
    with _opened(job, writing=True) as token:
        for key in token.private_keys(job.text("candidate")):
            key.destroy()
        return {}


def adopt_key(job: Job) -> Mapping[str, Value]:
    """Give the candidate of *spki* the name of the key; that of *known_spki* goes, or loses its name."""
    with _opened(job, writing=True) as token:
        candidates = [key for key in token.private_keys(job.text("candidate")) if key.spki == job.binary("spki")]
        identifier = token.uri.id
        for old in token.private_keys():
            if old.spki == job.binary("known_spki") != job.binary("spki"):
                if job.flag("preserve"):
                    old.rename("", os.urandom(_ID_BYTES) if identifier else b"")
                else:
                    old.destroy()
        for candidate in candidates:
            candidate.rename(token.uri.object, identifier)
        return {"is_swapped": bool(candidates)}


def sign(job: Job) -> Mapping[str, Value]:
    """Sign a DigestInfo (RSA) or digest (EC)."""
    with _opened(job) as token:
        key = _key_of(token, job)
        mechanism = Mechanism.RSA_PKCS if key.is_rsa else Mechanism.ECDSA
        return {"signature": key.private.sign(job.binary("block"), mechanism=mechanism).hex()}


def decrypt(job: Job) -> Mapping[str, Value]:
    """Decrypt what was encrypted to an RSA key; None when it was not."""
    with _opened(job) as token:
        key = _key_of(token, job)
        mechanism, parameters = Mechanism.RSA_PKCS, None
        if job.optional_text("digest") is not None:
            mechanism, parameters = Mechanism.RSA_PKCS_OAEP, _oaep_parameters(job)
        try:
            plaintext = key.private.decrypt(job.binary("ciphertext"), mechanism=mechanism, mechanism_param=parameters)
        except errors.PKCS11Error as exc:
            if type(exc).__name__ in _NOT_OURS:
                return {"plaintext": None}
            raise
        return {"plaintext": plaintext.hex()}


def _oaep_parameters(job: Job) -> tuple[object, object, bytes | None]:
    digests = {
        "sha1": Mechanism.SHA_1,
        "sha256": Mechanism.SHA256,
        "sha384": Mechanism.SHA384,
        "sha512": Mechanism.SHA512,
    }
    masks = {name: getattr(pkcs11.MGF, name.upper()) for name in digests}
    try:
        return digests[job.text("digest")], masks[job.text("mask_digest")], job.binary("label") or None
    except KeyError as exc:
        raise KeyStoreError(FailureKind.OTHER, "", f"OAEP with {exc.args[0]} is not supported.") from exc


def _key_of(token: _Token, job: Job) -> _Key:
    """The key with a public half that is known."""
    for key in token.private_keys(job.text("candidate")):
        if key.spki == job.binary("spki"):
            return key
    raise KeyStoreError(FailureKind.TOKEN, "", "The private key is no longer in the token.")


def main() -> None:
    """Be the worker process."""
    operations = (read_key, generate_key, discard_key, adopt_key, sign, decrypt)
    serve({operation.__name__: operation for operation in operations})


if __name__ == "__main__":
    main()
