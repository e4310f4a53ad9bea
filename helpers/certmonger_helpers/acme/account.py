"""The account at an ACME server: its key and URL in a file, created when there is none (RFC 8555, section 7.3)."""

import asyncio
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from acme.messages import Directory, ExternalAccountBinding
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwk import JWK, JWKEC

from certmonger_helpers.acme.problems import AcmeProblem
from certmonger_helpers.acme.session import Json, Session, location_of
from certmonger_helpers.outcome import ExitStatus, Unconfigured, Unreachable
from certmonger_helpers.transport import HttpResponse
from certmongerd.core.secret import Secret
from certmongerd.store.files import write_durably

_LOCK_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What an account is created with."""

    contact: tuple[str, ...] = ()
    """URLs such as `mailto:admin@example.org`."""
    agrees_to_terms: bool = False
    eab_kid: str = ""
    """Identifier of an external account (RFC 8555, section 7.3.4); empty: none is bound."""
    eab_key: Secret | None = None
    """Its MAC key, base64url."""
    eab_algorithm: str = "HS256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account, or the key for one while *url* is empty."""

    key: JWK
    url: str = ""
    contact: tuple[str, ...] = ()

    async def post(self, session: Session, url: str, payload: Json | None) -> HttpResponse:
        """Send a request of this account."""
        return await session.post(url, payload, self.key, self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFile:
    """Where the account for one server is kept; only its owner may read it."""

    path: Path

    @classmethod
    def of_server(cls, state_directory: Path, directory_url: str) -> "AccountFile":
        """The file for the server with this directory."""
        digest = hashlib.sha256(directory_url.encode()).hexdigest()[:12]
        host = urlsplit(directory_url).hostname or "server"
        return cls(path=state_directory / f"{host.replace(':', '-')}-{digest}.json")

    def load(self) -> Account | None:
        """The account; None when there is none yet. Raises Unconfigured when the file cannot be used."""
        try:
            stored = json.loads(self.path.read_bytes())
            key = JWK.from_json(stored["key"])
            if not isinstance(key, JWK):
                raise TypeError("not a key")
            return Account(key=key, url=str(stored["url"]), contact=tuple(stored["contact"]))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise Unconfigured(f"The account file {self.path} cannot be read: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError, JoseError) as exc:
            raise Unconfigured(f"{self.path} does not hold an ACME account; restore it, or move it away") from exc

    def save(self, account: Account) -> None:
        """Write the account. Raises Unreachable when that is not possible."""
        document = {"key": account.key.to_json(), "url": account.url, "contact": list(account.contact)}
        try:
            write_durably(self.path, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)
        except OSError as exc:
            raise Unreachable(f"The account file {self.path} cannot be written: {exc.strerror}") from exc


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock file *path*, which other runs of the helper respect. Raises Unconfigured when it cannot be made."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Unconfigured(f"{path} cannot be written: {exc.strerror}") from exc
    try:
        while not _try_lock(descriptor):  # noqa: ASYNC110 - another process gives it up
            await asyncio.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Take the lock unless somebody has it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def ensure_account(session: Session, file: AccountFile, wanted: Registration) -> Account:
    """The account at the server, created or with its contacts changed when necessary.

    The key is on disk before the server hears of it. Raises Unconfigured when the server does not accept the
    registration.
    """
    async with locked(file.path.with_suffix(".lock")):
        account = file.load()
        if account is None:
            account = Account(key=JWKEC(key=ec.generate_private_key(ec.SECP256R1())))
            file.save(account)
        if not account.url:
            account = await _create(session, account, wanted)
            file.save(account)
        elif account.contact != wanted.contact:
            account = await _change_contact(session, account, wanted)
            file.save(account)
        return account


async def forget_account_url(file: AccountFile, gone: Account) -> None:
    """Have the account created anew, with the same key, since the server does not know it any more."""
    async with locked(file.path.with_suffix(".lock")):
        stored = file.load()
        if stored is not None and stored.url == gone.url:
            file.save(replace(stored, url=""))


async def _as_setting(registering: Awaitable[HttpResponse]) -> HttpResponse:
    """What the server refuses about an account is for the administrator to change."""
    try:
        return await registering
    except AcmeProblem as problem:
        if problem.status is ExitStatus.REJECTED:
            raise Unconfigured(f"The ACME account was refused: {problem.reason}") from problem
        raise


async def _create(session: Session, account: Account, wanted: Registration) -> Account:
    """Register the key, or find the account that it has already."""
    url = await session.resource("newAccount")
    meta = await session.meta()
    terms = meta.get("termsOfService")
    if terms and not wanted.agrees_to_terms:
        raise Unconfigured(f"The CA's terms of service have to be agreed to: read {terms}, then add --agree-tos")
    if meta.get("externalAccountRequired") is True and not wanted.eab_kid:
        raise Unconfigured("The CA wants an external account: get its key from the CA, then add --eab-kid")
    payload: Json = {"contact": list(wanted.contact)}
    if terms:
        payload["termsOfServiceAgreed"] = True
    if wanted.eab_kid and wanted.eab_key is not None:
        payload["externalAccountBinding"] = _binding(account.key, wanted, wanted.eab_key, url)
    response = await _as_setting(session.post(url, payload, account.key, None))
    return replace(account, url=location_of(response, url), contact=wanted.contact)


def _binding(key: JWK, wanted: Registration, secret: Secret, url: str) -> Json:
    """The proof that the external account's owner wants the key bound to it."""
    try:
        return ExternalAccountBinding.from_data(
            key.public_key(), wanted.eab_kid, secret.reveal(), Directory({"newAccount": url}), wanted.eab_algorithm
        )
    except (ValueError, JoseError) as exc:
        raise Unconfigured("The external account's key (--eab-key-file) is not base64url") from exc


async def _change_contact(session: Session, account: Account, wanted: Registration) -> Account:
    """Tell the server the contacts that are configured now."""
    await _as_setting(account.post(session, account.url, {"contact": list(wanted.contact)}))
    return replace(account, contact=wanted.contact)
