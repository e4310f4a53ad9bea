"""The environment of helpers, hooks and notification commands, built from an allow-list.

Nothing of what the daemon was started with is passed on unless it is listed here. All functions are pure.
"""

import base64
import os
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, Protocol

from certmongerd.api import PRIVATE_ADDRESS_VARIABLE
from certmongerd.core.machine_enroll import has_fresh_messages
from certmongerd.core.model import Ca, Request

HOME: Final = "/run/certmonger"
SEARCH_PATH: Final = "/usr/bin:/bin:/usr/sbin:/sbin"

_PASSED: Final = frozenset({"LANG", "DBUS_SESSION_BUS_ADDRESS"})
_PASSED_PREFIX: Final = "LC_"
_PASSED_SUFFIX: Final = "_proxy"
"""In either case: `http_proxy`, `NO_PROXY`."""

_SCEP_FETCHES: Final = frozenset({"FETCH-SCEP-CA-CAPS", "FETCH-SCEP-CA-CERTS"})


class Directories(Protocol):
    """The directories that programs are told about."""

    @property
    def config_dir(self) -> str | os.PathLike[str]:
        """Where certmonger.conf is."""

    @property
    def local_ca_dir(self) -> str | os.PathLike[str]:
        """Where the local CA keeps its key."""

    @property
    def tmpdir(self) -> str | os.PathLike[str]:
        """Where temporary files go."""


class HookMoment(Enum):
    """When a hook runs; the value is what the hook sees in `CERTMONGER_HOOK`."""

    PRE_SAVE = "pre-save"
    POST_SAVE = "post-save"


def base_environment(
    environ: Mapping[str, str], *, paths: Directories, private_address: str | None = None
) -> dict[str, str]:
    """What every program gets; *environ* is the daemon's own environment.

    *private_address* is the address of the daemon's private bus socket, if it has one.
    """
    passed = {name: value for name, value in environ.items() if value and _is_passed_on(name)}
    fixed = {
        "PATH": SEARCH_PATH,
        "HOME": HOME,
        "SHELL": "/bin/sh",
        "TERM": "dumb",
        "TMPDIR": os.fspath(paths.tmpdir),
        "CERTMONGER_CONFIG_DIR": os.fspath(paths.config_dir),
        "CERTMONGER_LOCAL_CA_DIR": os.fspath(paths.local_ca_dir),
        PRIVATE_ADDRESS_VARIABLE: private_address or "",
    }
    return passed | _without_empty(fixed)


def _is_passed_on(name: str) -> bool:
    """Whether programs get a variable of the daemon: language, proxies, the session bus."""
    return name in _PASSED or name.startswith(_PASSED_PREFIX) or name.lower().endswith(_PASSED_SUFFIX)


def ca_data_environment(base: Mapping[str, str], ca: Ca, operation: str) -> dict[str, str]:
    """For asking *ca* about itself; *operation* is a name such as `FETCH-ROOTS`."""
    variables = {"CERTMONGER_OPERATION": operation, "CERTMONGER_CA_NICKNAME": ca.id}
    if operation in _SCEP_FETCHES:
        variables["CERTMONGER_SCEP_CA_IDENTIFIER"] = ca.scep_ca_identifier
    return {**base, **_without_empty(variables)}


def query_environment(base: Mapping[str, str], ca: Ca, message: str) -> dict[str, str]:
    """For sending the SCEP question *message*, PEM, to *ca*."""
    variables = {
        "CERTMONGER_OPERATION": "SCEP-QUERY",
        "CERTMONGER_CA_NICKNAME": ca.id,
        "CERTMONGER_SCEP_QUERY": message,
    }
    return {**base, **_without_empty(variables | _scep_server(ca))}


def renewal_info_environment(base: Mapping[str, str], request: Request, ca: Ca) -> dict[str, str]:
    """For asking *ca* when it wants the certificate of *request* renewed."""
    variables = {
        "CERTMONGER_OPERATION": "GET-RENEWAL-INFO",
        "CERTMONGER_CA_NICKNAME": ca.id,
        "CERTMONGER_CERTIFICATE": request.cert,
    }
    return {**base, **_without_empty(variables)}


def submission_environment(base: Mapping[str, str], request: Request, ca: Ca, operation: str) -> dict[str, str]:
    """For submitting (`SUBMIT`) or continuing (`POLL`) *request* at *ca*; empty values are left out.

    The key described is the one the request is signed with: the candidate while a rekey is pending. Private
    keys, PINs and challenge passwords are never here.
    """
    template = request.template
    key = request.signing_key
    variables = {
        "CERTMONGER_OPERATION": operation,
        "CERTMONGER_CA_NICKNAME": ca.id,
        "CERTMONGER_CA_PROFILE": template.profile,
        "CERTMONGER_CA_ISSUER": template.issuer,
        "CERTMONGER_CA_COOKIE": request.ca_cookie if operation == "POLL" else "",
        "CERTMONGER_CSR": request.csr,
        "CERTMONGER_SPKAC": request.spkac,
        "CERTMONGER_SPKI": base64.b64encode(key.pubkey_info).decode("ascii"),
        "CERTMONGER_KEY_TYPE": (key.type or key.gen_type).value,
        "CERTMONGER_CERTIFICATE": request.cert,
        "CERTMONGER_REQ_SUBJECT": template.subject,
        "CERTMONGER_REQ_HOSTNAME": _lines(template.hostname),
        "CERTMONGER_REQ_EMAIL": _lines(template.email),
        "CERTMONGER_REQ_PRINCIPAL": _lines(template.principal),
        "CERTMONGER_REQ_IP_ADDRESS": _lines(template.ip_address),
    }
    return {**base, **_without_empty(variables | _scep_variables(request, ca))}


def _scep_variables(request: Request, ca: Ca) -> dict[str, str]:
    """Certificates of a SCEP CA, and the messages while their nonce is unused."""
    variables = _scep_server(ca)
    if has_fresh_messages(request):
        variables["CERTMONGER_PKCSREQ"] = request.scep.req
        variables["CERTMONGER_GETCERTINITIAL"] = request.scep.gic
        if request.key_next_marker:
            variables["CERTMONGER_PKCSREQ_REKEY"] = request.scep.req_next
            variables["CERTMONGER_GETCERTINITIAL_REKEY"] = request.scep.gic_next
    return variables


def _scep_server(ca: Ca) -> dict[str, str]:
    """What is known of a SCEP CA's server."""
    return {
        "CERTMONGER_SCEP_CA_IDENTIFIER": ca.scep_ca_identifier,
        "CERTMONGER_SCEP_RA_CERTIFICATE": ca.encryption_cert,
        "CERTMONGER_SCEP_CA_CERTIFICATE": ca.encryption_issuer_cert,
        "CERTMONGER_SCEP_CERTIFICATES": ca.encryption_cert_pool,
    }


def hook_environment(
    base: Mapping[str, str], moment: HookMoment, *, request: Request | None = None, ca: Ca | None = None
) -> dict[str, str]:
    """For a command before or after saving: the base and what is being saved.

    certmonger passes the base only; the additions are `CERTMONGER_HOOK`, `CERTMONGER_REQUEST_NICKNAME`,
    `CERTMONGER_CA_NICKNAME`, and `CERTMONGER_CERT_` and `CERTMONGER_KEY_` followed by `STORAGE` (`FILE`,
    `NSSDB` or `PKCS11`), `LOCATION` (file, directory or URI), `NICKNAME` and `TOKEN`.
    """
    variables = {"CERTMONGER_HOOK": moment.value}
    if request is not None:
        variables["CERTMONGER_REQUEST_NICKNAME"] = request.id
        variables["CERTMONGER_CA_NICKNAME"] = request.ca_name
        for prefix, storage in (("CERT", request.cert_storage), ("KEY", request.key_storage)):
            variables[f"CERTMONGER_{prefix}_STORAGE"] = storage.type.value if storage.location else ""
            variables[f"CERTMONGER_{prefix}_LOCATION"] = storage.location
            variables[f"CERTMONGER_{prefix}_NICKNAME"] = storage.nickname
            variables[f"CERTMONGER_{prefix}_TOKEN"] = storage.token
    if ca is not None:
        variables["CERTMONGER_CA_NICKNAME"] = ca.id
    return {**base, **_without_empty(variables)}


def _lines(values: Iterable[str]) -> str:
    """Several values, one per line."""
    return "\n".join(values)


def _without_empty(variables: Mapping[str, str]) -> dict[str, str]:
    """*variables* that have a value."""
    return {name: value for name, value in variables.items() if value}
