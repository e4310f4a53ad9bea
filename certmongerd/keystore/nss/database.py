"""One NSS database, opened in a worker process: its token, keys and certificates."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ctypes import byref
from typing import Final

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.keystore.nss.library import CertificateHead, ListNode, Nss, SecItem, Trust, item
from certmongerd.keystore.nss.location import directory_of, is_there

_READ_ONLY: Final = 1
_SUCCESS: Final = 0
_KEY_OBJECT: Final = 1
_CERTIFICATE_OBJECT: Final = 3
_CKA_LABEL: Final = 3
_NO_KEY: Final = 0


class DatabaseLocked(KeyStoreError):
    """Nothing is wrong, but somebody else is writing."""


class Certificate:
    """A certificate in the database."""

    def __init__(self, nss: Nss, pointer: int) -> None:
        self._nss = nss
        self.pointer = pointer
        head = CertificateHead.from_address(pointer)
        self.der = head.der.content()
        self.subject = head.der_subject.content()
        self.nickname = _label(nss, _CERTIFICATE_OBJECT, pointer)

    def delete(self) -> None:
        """Remove it; its key stays."""
        if self._nss.delete_certificate(self.pointer) != _SUCCESS:
            raise self._nss.failure(f'The certificate "{self.nickname}" cannot be removed')

    def trust(self) -> Trust | None:
        """Its trust flags; None when none were ever set."""
        trust = Trust()
        return trust if self._nss.get_trust(self.pointer, byref(trust)) == _SUCCESS else None

    def set_trust(self, trust: Trust) -> None:
        """Replace the trust flags."""
        if self._nss.change_trust(self._nss.default_database(), self.pointer, byref(trust)) != _SUCCESS:
            raise self._nss.failure(f'The trust of the certificate "{self.nickname}" cannot be set')


class Key:
    """A private key in the database."""

    def __init__(self, nss: Nss, pointer: int) -> None:
        self._nss = nss
        self.pointer = pointer
        self.nickname = _text(nss.key_nickname(pointer))
        public = nss.public_of_private(pointer)
        encoded = nss.encode_spki(public) if public else None
        self.spki = encoded.contents.content() if encoded else b""
        """DER SubjectPublicKeyInfo; empty when the public half is not known to the token."""

    def rename(self, nickname: str) -> None:
        """Give the key another nickname."""
        if self._nss.set_key_nickname(self.pointer, os.fsencode(nickname)) != _SUCCESS:
            raise self._nss.failure(f'The key cannot be called "{nickname}"')
        self.nickname = nickname

    def delete_unless_certified(self) -> None:
        """Remove the key; not when a certificate of the database is for it."""
        # The call takes over a reference whatever happens, hence the copy.
        if self._nss.delete_key(self._nss.copy_key(self.pointer), 0) != _SUCCESS:
            raise self._nss.failure(f'The key "{self.nickname}" cannot be removed')


class Database:
    """An open database and the token in it that was asked for."""

    def __init__(self, nss: Nss, token: str) -> None:
        self.nss = nss
        self._slot = nss.slot_by_name(os.fsencode(token)) if token else nss.internal_slot()
        if not self._slot:
            raise KeyStoreError(FailureKind.TOKEN, "", f'There is no token called "{token}".')
        self.token = _text(nss.token_name(self._slot))

    def log_in(self, pin: str | None, *, may_set: bool = False) -> None:
        """Open the token with *pin*. A new token, without password yet, gets *pin* when *may_set*.

        Raises `KeyStoreError` of kind PIN: the PIN is missing, wrong, or not needed at all (so that nobody believes an
        open token protected).
        """
        password = os.fsencode(pin or "")
        if self.nss.need_user_init(self._slot):
            if not may_set:
                return
            if self.nss.init_pin(self._slot, None, password) != _SUCCESS:
                raise self.nss.failure("The new token cannot be given its password")
        if not self.nss.need_login(self._slot):
            if pin:
                raise KeyStoreError(FailureKind.PIN, "", f'A PIN is set, but the token "{self.token}" has none.')
            return
        if not pin:
            raise KeyStoreError(FailureKind.PIN, "", f'The token "{self.token}" needs a PIN and none is known.')
        if self.nss.check_password(self._slot, password) != _SUCCESS:
            reason = f'The token "{self.token}" does not accept the PIN ({self.nss.error_name()}).'
            raise KeyStoreError(FailureKind.PIN, "", reason)

    def open_for_authorities(self, pin: str | None, *, is_old_format: bool) -> None:
        """As `log_in` with the PIN of a key, if one is known. The old format stores trust for everybody.

        A new token gets none.
        """
        if self.nss.need_user_init(self._slot):
            self.log_in(None, may_set=True)
        elif self.nss.need_login(self._slot) and (pin or not is_old_format):
            self.log_in(pin)

    def private_keys(self) -> list[Key]:
        """All private keys of the token."""
        return [Key(self.nss, pointer) for pointer in _elements(self.nss.list_keys(self._slot))]

    def certificates(self) -> list[Certificate]:
        """All certificates of the token."""
        return [Certificate(self.nss, pointer) for pointer in _elements(self.nss.list_certificates(self._slot))]

    def key_for(self, certificate: Certificate) -> Key | None:
        """The key that *certificate* is for, when the token has it."""
        found = self.nss.key_of_certificate(self._slot, certificate.pointer, None)
        return Key(self.nss, found) if found else None

    def generate(self, mechanism: int, parameters: ctypes.Structure) -> Key:
        """A new key pair that the token never gives out."""
        public = ctypes.c_void_p()
        pointer = self.nss.generate(self._slot, mechanism, byref(parameters), byref(public), 1, 1, None)
        if not pointer:
            raise self.nss.failure("The key cannot be generated")
        return Key(self.nss, pointer)

    def import_certificate(self, der: bytes, subject: bytes, nickname: str) -> None:
        """Store a certificate of *subject*.

        One of the same nickname, subject, issuer and serial number goes before: a CA was set up anew and counts from
        the start again, and NSS does not take both.
        """
        if self._imports(der, nickname):
            return
        if self.nss.error_name() == "SEC_ERROR_REUSED_ISSUER_AND_SERIAL":
            for certificate in self.certificates():
                if certificate.nickname == nickname and certificate.subject == subject:
                    certificate.delete()
            if self._imports(der, nickname):
                return
        raise self.nss.failure(f'The certificate cannot be stored as "{nickname}"')

    def _imports(self, der: bytes, nickname: str) -> bool:
        content, _keep = item(der)
        status: int = self.nss.import_certificate(self._slot, byref(content), _NO_KEY, os.fsencode(nickname), 0)
        return status == _SUCCESS

    def trust_of(self, text: str) -> Trust:
        """Trust flags in certutil's notation."""
        trust = Trust()
        if self.nss.decode_trust(byref(trust), os.fsencode(text)) != _SUCCESS:
            raise KeyStoreError(FailureKind.OTHER, "", f'"{text}" are no trust flags.')
        return trust


@contextmanager
def opened(location: str, token: str, *, read_only: bool = False) -> Iterator[Database]:
    """The database at *location*, made if it is not there unless *read_only*. Raises `KeyStoreError`.

    The working directory is that of the database.
    """
    nss = Nss()
    flags = _READ_ONLY if read_only else 0
    is_there(location)
    if nss.initialize(os.fsencode(location), b"", b"", b"secmod.db", flags) != _SUCCESS:
        name = nss.error_name()
        if os.access(directory_of(location), os.R_OK | os.X_OK | (0 if read_only else os.W_OK)):
            if _is_locked(read_only=read_only):
                raise DatabaseLocked(FailureKind.OTHER, "", "Another program has locked the NSS database.")
            raise KeyStoreError(FailureKind.TOKEN, "", f"The NSS database cannot be opened: {name}")
        raise KeyStoreError(FailureKind.PERMS, "", f"The NSS database may not be opened: {name}")
    yield Database(nss, token)
    # Not in a finally: after an error what is half done in the library does not matter, the process ends.
    nss.shutdown()


def _is_locked(*, read_only: bool) -> bool:
    """Whether somebody is writing to a database of the new format just now."""
    import sqlite3  # rarely needed

    for name in ("key4.db", "cert9.db"):
        if not os.path.isfile(name):
            continue
        try:
            with closing(sqlite3.connect(name, timeout=0, isolation_level=None)) as connection:
                connection.execute("SELECT 1 FROM sqlite_master" if read_only else "BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as exc:
            if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                return True
    return False


def _elements(address: int | None) -> Iterator[int]:
    """Pointers in a list of NSS, which is left to the process's end."""
    if not address:
        return
    head = ListNode.from_address(address)
    place = head.links.next
    while place != address:
        node = ListNode.from_address(place)
        yield node.element
        place = node.links.next


def _label(nss: Nss, kind: int, pointer: int) -> str:
    content = SecItem()
    if nss.read_attribute(kind, pointer, _CKA_LABEL, byref(content)) != _SUCCESS:
        return ""
    return os.fsdecode(content.content())


def _text(pointer: int | bytes | None) -> str:
    if isinstance(pointer, int):
        return os.fsdecode(ctypes.string_at(pointer))
    return os.fsdecode(pointer) if pointer else ""
