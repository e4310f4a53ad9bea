"""Options of request, resubmit, rekey and start-tracking as the dictionary that goes over the bus."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from certmongerd.busapi.transport import Variant
from getcert.client import Client
from getcert.errors import CommandFailed
from getcert.krb5 import canonical_principal
from getcert.names import key_usage_bits, object_identifier
from getcert.options import ParsedOptions
from getcert.paths import database_location, file_location

Values = dict[str, Variant]

_TEXTS: Final = {
    "pin": "KEY_PIN",
    "pinfile": "KEY_PIN_FILE",
    "key_owner": "key-owner",
    "cert_owner": "cert-owner",
    "nss_user": "nss-user",
    "subject": "template-subject",
    "challenge_password": "template-challenge-password",
    "challenge_password_file": "template-challenge-password-file",
    "profile": "template-profile",
    "ms_template": "template-ms-certificate-template",
    "issuer": "template-issuer",
    "before_command": "cert-presave-command",
    "after_command": "cert-postsave-command",
    "notification_method": "notification-method",
    "notification_destination": "notification-destination",
    "probe": "probe",
}
_LISTS: Final = {"dns": "template-hostname", "email": "template-email", "ip_address": "template-ip-address"}
_CA_FILES: Final = {
    "ca_file": "root-cert-files",
    "other_root_file": "root-other-cert-files",
    "chain_file": "other-cert-files",
}
_CA_DATABASES: Final = {
    "ca_dbdir": "root-cert-nssdbs",
    "other_root_dbdir": "root-other-cert-nssdbs",
    "chain_dbdir": "other-cert-nssdbs",
}
_MODES: Final = {"key_perms": "key-perms", "cert_perms": "cert-perms"}
_NO_KEY_SIZE: Final = frozenset({"", "None"})
_MIN_RSA_BITS: Final = 1024
_MAX_KEY_BITS: Final = 16384
_EC_FIELD_BITS: Final = frozenset({256, 384, 521})
_EC_BITS: Final = _EC_FIELD_BITS | {512}
"""512 is what scripts call P-521."""
_OCTAL: Final = re.compile(r"[0-7]{1,5}")


def text(value: str) -> Variant:
    """A string for the bus."""
    return Variant("s", value)


def texts(values: Iterable[str]) -> Variant:
    """A list of strings for the bus."""
    return Variant("as", tuple(values))


def _mode(option: str, value: str) -> Variant:
    if not _OCTAL.fullmatch(value):
        raise CommandFailed(f'Invalid mode "{value}" for --{option.replace("_", "-")}: octal digits are expected.')
    return Variant("x", int(value, 8))


def key_size_bits(value: str, key_type: str | None) -> int | None:
    """The size of a key to be made; None when the daemon is to choose.

    An empty value and the word "None" mean "not given": the Ansible role passes them on. Sizes that no
    key of the type has are refused, where certmonger silently makes a key of another size. Raises CommandFailed.
    """
    if value in _NO_KEY_SIZE:
        return None
    if not (value.isascii() and value.isdigit()):
        raise CommandFailed(f'Invalid key size "{value}": a number of bits is expected.')
    bits = int(value)
    is_rsa_size = _MIN_RSA_BITS <= bits <= _MAX_KEY_BITS
    match (key_type or "").upper():
        case "RSA" if not is_rsa_size:
            raise CommandFailed(f"RSA keys cannot have {bits} bits: {_MIN_RSA_BITS} to {_MAX_KEY_BITS} are possible.")
        case "EC" | "ECDSA" if bits not in _EC_BITS:
            raise CommandFailed(f"EC keys cannot have {bits} bits: 256, 384 and 521 are possible.")
        case "" if not (is_rsa_size or bits in _EC_FIELD_BITS):
            possible = f"{_MIN_RSA_BITS} to {_MAX_KEY_BITS} are for RSA keys, 256, 384 and 521 for EC keys"
            raise CommandFailed(f"Keys cannot have {bits} bits: {possible}.")
    return bits


def key_values(options: ParsedOptions) -> Values:
    """Type and size of a key to be made."""
    values: Values = {}
    key_type = options.text("key_type")
    if key_type is not None:
        values["KEY_TYPE"] = text(key_type)
    bits = key_size_bits(options.text("key_size") or "", key_type)
    if bits is not None:
        values["KEY_SIZE"] = Variant("x", bits)
    return values


def template_values(options: ParsedOptions, default_realm: str | None, tell: Callable[[str], None]) -> Values:
    """All that is asked of the certificate and its storage. Raises CommandFailed for what cannot be understood."""
    values: Values = {}
    for name, key in _TEXTS.items():
        value = options.text(name)
        if value is not None:
            values[key] = text(value)
    for name, key in _MODES.items():
        value = options.text(name)
        if value:
            values[key] = _mode(name, value)
    for name, key in _LISTS.items():
        if options.given(name):
            values[key] = texts(options.texts(name))
    if options.given("key_usage"):
        values["template-ku"] = text(key_usage_bits(options.texts("key_usage")))
    if options.given("extended_key_usage"):
        values["template-eku"] = texts(map(object_identifier, options.texts("extended_key_usage")))
    if options.given("principal"):
        names = options.texts("principal")
        values["template-principal"] = texts(canonical_principal(name, default_realm) for name in names)
    values.update(_basic_constraints(options))
    for name, key in _CA_FILES.items():
        if options.given(name):
            values[key] = texts(file_location(path, tell) for path in options.texts(name))
    for name, key in _CA_DATABASES.items():
        if options.given(name):
            values[key] = texts(database_location(path, tell) for path in options.texts(name))
    return values


def _basic_constraints(options: ParsedOptions) -> Values:
    """Only what was said: an unrelated change must not turn a CA's request into another."""
    values: Values = {}
    chosen = options.last_of("for_ca", "not_for_ca")
    if chosen is not None:
        values["template-is-ca"] = Variant("b", chosen == "for_ca")
    length = options.number("ca_path_length")
    if length is not None:
        values["template-ca-path-length"] = Variant("x", length)
    return values


def check_key_type(options: ParsedOptions, client: Client) -> None:
    """Refuse a type of key that the daemon cannot make. Raises CommandFailed."""
    key_type = options.text("key_type")
    if key_type is None:
        return
    known = client.supported_key_types()
    accepted = {name.upper() for name in known} | ({"ECDSA"} if "EC" in known else set())
    if key_type.upper() not in accepted:
        raise CommandFailed(
            f'No support for generating "{key_type}" keys.', f"Known key types include: {' '.join(known)}"
        )
