"""The PIN that protects a private key."""

from typing import Final

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import KeyStorage
from certmongerd.keystore.links import located
from certmongerd.store.secret_file import secret_file

_LONGEST_LINE: Final = 4096


def read_pin(storage: KeyStorage) -> str | None:
    """The PIN of *storage*, None when there is none.

    The PIN file is a path or `credential:NAME`. It wins over a stored PIN, even when it is missing or empty, which
    means that no PIN is known. Only its first line counts. A file that exists and cannot be read, and a credential
    that is not there, raise `KeyStoreError` of kind PIN.
    """
    if not storage.pin_file:
        return (storage.pin.reveal() or None) if storage.pin else None
    try:
        with located(secret_file(storage.pin_file)) as place:
            line, _, _ = place.read(_LONGEST_LINE).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as exc:
        reason = f"The PIN file {storage.pin_file} cannot be read: {exc.strerror}"
        raise KeyStoreError(FailureKind.PIN, storage.location, reason) from exc
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape") or None


def read_pin_for_new_key(storage: KeyStorage) -> str | None:
    """As `read_pin`, but a PIN file without PIN raises `KeyStoreError` of kind PIN.

    Somebody who names a PIN file does not want the new key to lie around unencrypted.
    """
    pin = read_pin(storage)
    if storage.pin_file and pin is None:
        reason = f"The PIN file {storage.pin_file} is missing or empty"
        raise KeyStoreError(FailureKind.PIN, storage.location, reason)
    return pin
