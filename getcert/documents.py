"""Requests, CAs and states as documents for programs; docs/getcert-output.md describes them for their readers.

A document has all its keys whatever the daemon says: what is unknown is None, what there is none of is an empty list.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

from certmongerd.api import CA_TYPE_EXTERNAL
from getcert.entries import CaEntry, HistoryEntry, Properties, RequestEntry
from getcert.names import key_usage_names, object_identifier_name
from getcert.text import thumbprint

Document = Mapping[str, object]

VERSION: Final = 1
"""Raised when a key goes or changes its meaning; new keys do not raise it."""
SECONDS_PER_DAY: Final = 86400
_THUMBPRINTS: Final = ("sha1", "sha256")
_LOCATIONS: Final = (
    ("root_files", "root-cert-files"),
    ("other_root_files", "root-other-cert-files"),
    ("other_files", "other-cert-files"),
    ("root_databases", "root-cert-nssdbs"),
    ("other_root_databases", "root-other-cert-nssdbs"),
    ("other_databases", "other-cert-nssdbs"),
)


def time_of(seconds: int) -> str | None:
    """A Unix time as RFC 3339 has it, UTC; None for 0, which stands for "none"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None


def days_left(not_after: int, now: float) -> int | None:
    """Whole days until a Unix time, negative after it; None where there is no certificate."""
    return int((not_after - now) // SECONDS_PER_DAY) if not_after else None


def _text(properties: Properties, name: str) -> str | None:
    return properties.text(name) or None


def _mode(properties: Properties, name: str) -> str | None:
    mode = properties.number(name)
    return f"{mode:04o}" if mode else None


def _storage(properties: Properties, what: str) -> dict[str, object]:
    return {
        "storage": properties.text(f"{what}-storage") or "NONE",
        "file": _text(properties, f"{what}-file"),
        "database": _text(properties, f"{what}-database"),
        "nickname": _text(properties, f"{what}-nickname"),
        "token": _text(properties, f"{what}-token"),
        "owner": _text(properties, f"{what}-owner"),
        "permissions": _mode(properties, f"{what}-perms"),
    }


def _key(entry: RequestEntry) -> Document:
    properties = entry.properties
    return {
        **_storage(properties, "key"),
        "pin_set": entry.has_key_pin,
        "pin_file": _text(properties, "key-pin-file"),
        "type": _text(properties, "key-type"),
        "size_bits": properties.number("key-size") or None,
        "generated": time_of(properties.number("key-generated-date")),
    }


def _certificate(properties: Properties, now: float) -> Document:
    not_after = properties.number("not-valid-after")
    return {
        **_storage(properties, "cert"),
        "subject": _text(properties, "subject"),
        "issuer": _text(properties, "issuer"),
        "serial": _text(properties, "serial"),
        "not_before": time_of(properties.number("not-valid-before")),
        "not_after": time_of(not_after),
        "days_left": days_left(not_after, now),
        "dns": list(properties.texts("hostname")),
        "email": list(properties.texts("email")),
        "principal": list(properties.texts("principal")),
        "key_usage": _usages(properties.text("ku")),
        "extended_key_usage": [object_identifier_name(oid) for oid in properties.texts("eku")],
    }


def _usages(bits: str) -> list[str]:
    return [name for name in key_usage_names(bits).split(",") if name]


def _requested(properties: Properties) -> Document:
    return {
        "subject": _text(properties, "template-subject"),
        "dns": list(properties.texts("template-hostname")),
        "email": list(properties.texts("template-email")),
        "ip_address": list(properties.texts("template-ip-address")),
        "principal": list(properties.texts("template-principal")),
        "key_usage": _usages(properties.text("template-ku")),
        "extended_key_usage": [object_identifier_name(oid) for oid in properties.texts("template-eku")],
        "is_ca": properties.flag("template-is-ca"),
        "profile": properties.text("template-profile") or _text(properties, "ca-profile"),
        "issuer": _text(properties, "template-issuer"),
        "ms_template": _text(properties, "template-ms-certificate-template"),
    }


def _ca_certificates(properties: Properties) -> Document:
    return {key: list(properties.texts(name)) for key, name in _LOCATIONS}


def request_document(entry: RequestEntry, ca: CaEntry | None, now: float) -> Document:
    """One request; *now* is a Unix time."""
    properties = entry.properties
    return {
        "id": entry.nickname,
        "path": entry.path,
        "status": entry.status,
        "stuck": entry.is_stuck,
        "ca": None if ca is None else ca.nickname,
        "ca_error": _text(properties, "ca-error"),
        "submitted": time_of(properties.number("submitted-date")),
        "next_attempt": time_of(entry.next_attempt),
        "attempts": entry.attempts,
        "track": properties.flag("monitoring"),
        "auto_renew": properties.flag("autorenew"),
        "key": _key(entry),
        "certificate": _certificate(properties, now),
        "requested": _requested(properties),
        "ca_certificates": _ca_certificates(properties),
        "pre_save_command": _text(properties, "cert-presave-command"),
        "post_save_command": _text(properties, "cert-postsave-command"),
        "probe": _text(entry.extended, "probe"),
    }


def requests_document(requests: Iterable[Document], *, total: int) -> Document:
    """What `list` answers; *total* is the number of all requests, chosen or not."""
    return {"version": VERSION, "tracked": total, "requests": list(requests)}


def _thumbprints(pem: str) -> Document | None:
    digests = {algorithm: thumbprint(pem, algorithm) for algorithm in _THUMBPRINTS}
    return {name: digest.replace(" ", "") for name, digest in digests.items() if digest} or None


def ca_document(ca: CaEntry, *, kind: str, serial: str, config_path: str) -> Document:
    """One CA; *kind*, *serial* and *config_path* as for `ca_lines`."""
    properties = ca.properties
    return {
        "name": ca.nickname,
        "path": ca.path,
        "is_default": properties.flag("is-default"),
        "type": kind,
        "identification": _text(properties, "aka"),
        "ca_error": _text(properties, "ca-error"),
        "helper": _text(properties, "external-helper") if kind == CA_TYPE_EXTERNAL else None,
        "next_serial": serial or None,
        "file": config_path or None,
        "issuer_names": list(properties.texts("issuer-names")),
        "profiles": list(properties.texts("supported-profiles")),
        "default_profile": _text(properties, "default-profile"),
        "required_attributes": list(properties.texts("required-enroll-attributes")),
        "required_renewal_attributes": list(properties.texts("required-renew-attributes")),
        "scep": {
            "identifier": _text(properties, "scep-ca-identifier"),
            "capabilities": list(properties.texts("scep-ca-capabilities")),
            "cipher": _text(properties, "scep-cipher"),
            "digest": _text(properties, "scep-digest"),
            "ca_certificate": _thumbprints(properties.text("scep-ca-cert")),
            "ra_certificate": _thumbprints(properties.text("scep-ra-cert")),
        },
        "ca_certificates": _ca_certificates(properties),
        "pre_save_command": _text(properties, "ca-presave-command"),
        "post_save_command": _text(properties, "ca-postsave-command"),
    }


def cas_document(cas: Iterable[Document]) -> Document:
    """What `list-cas` answers."""
    return {"version": VERSION, "cas": list(cas)}


def status_document(entry: RequestEntry, exit_status: int) -> Document:
    """What `status` answers."""
    return {
        "version": VERSION,
        "id": entry.nickname,
        "status": entry.status,
        "stuck": entry.is_stuck,
        "ca_error": _text(entry.properties, "ca-error"),
        "exit_status": exit_status,
    }


def history_document(nickname: str, history: Iterable[HistoryEntry]) -> Document:
    """What `history` answers about the request called *nickname*."""
    return {
        "version": VERSION,
        "id": nickname,
        "history": [
            {
                "at": time_of(entry.at),
                "event": entry.event,
                "status": entry.state,
                "attempts": entry.attempts,
                "next_attempt": time_of(entry.due),
                "error": entry.error or None,
            }
            for entry in history
        ],
    }
