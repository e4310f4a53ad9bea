"""What callers can set on a request: one row per setting, used by `add_request`, `modify` and `Properties.Set`."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from certmongerd.busapi.entries import flag_of, number_of, text_of, texts_of
from certmongerd.busapi.notification import NOTIFICATION_PROPERTIES
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Variant
from certmongerd.config.settings import notification_method
from certmongerd.core.credential import is_place_of_secret
from certmongerd.core.deployment import parse_probe
from certmongerd.core.errors import InvalidValue
from certmongerd.core.evolve import replace
from certmongerd.core.model import (
    DEFAULT_RSA_BITS,
    FIXED_KEY_SIZES,
    MINIMUM_RSA_BITS,
    CaCertLocations,
    CertStorage,
    Hook,
    KeyAlgorithm,
    KeyStorage,
    Request,
    Template,
)
from certmongerd.core.secret import Secret
from certmongerd.core.usages import object_identifier
from certmongerd.pki.keys import is_supported
from certmongerd.pki.names import encode_name

V = TypeVar("V")

KEY_TYPES: Final = {item.value.upper(): item for item in KeyAlgorithm} | {"ECDSA": KeyAlgorithm.EC}
"""Accepted spellings, upper-case."""
_MAXIMUM_BITS: Final = 16384
_EC_BITS: Final = (256, 384, 521)
_MAXIMUM_MODE: Final = 0o7777
_MAXIMUM_PATH_LENGTH: Final = 2**31 - 1
_MS_TEMPLATE: Final = re.compile(r"[0-9]+(\.[0-9]+)*:-?[0-9]+(:-?[0-9]+)?")
_KEY_USAGE: Final = re.compile(r"[01]{0,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[V]):
    """One thing a caller can set."""

    keys: tuple[str, ...]
    """Dictionary keys; the first that is there with the right type wins, and is named in errors."""
    read: Callable[[Variant], V | None]
    apply: Callable[[Request, V, Caller], Request]
    """Raises InvalidValue. Pure, and independent of the request's other settings."""
    properties: tuple[str, ...]
    """Properties that show it."""

    def applied(self, request: Request, variant: Variant, caller: Caller) -> Request | None:
        """*request* with the value of *variant*; None when its type is wrong. Raises InvalidValue."""
        value = self.read(variant)
        return None if value is None else self.apply(request, value, caller)


def settled_size(algorithm: KeyAlgorithm, size: int) -> int:
    """*size* raised to the minimum; for EC the next curve's size, at most 521; the size where there is only one."""
    if algorithm in FIXED_KEY_SIZES:
        return FIXED_KEY_SIZES[algorithm]
    if algorithm is KeyAlgorithm.RSA:
        return max(size, MINIMUM_RSA_BITS)
    return next((bits for bits in _EC_BITS if size <= bits), _EC_BITS[-1])


def _with_key_type(request: Request, text: str, _caller: Caller) -> Request:
    algorithm = KEY_TYPES.get(text.upper())
    if algorithm is None:
        raise InvalidValue("KEY_TYPE", f'No support for key type "{text}".')
    if not is_supported(algorithm):
        reason = "the installed cryptography library, or its OpenSSL, is too old for it"
        raise InvalidValue("KEY_TYPE", f'No support for key type "{text}": {reason}.')
    size = request.key.gen_size
    if algorithm is KeyAlgorithm.RSA and request.key.gen_type is not algorithm:
        size = DEFAULT_RSA_BITS
    return with_generation(request, algorithm, size)


def _with_key_size(request: Request, size: int, _caller: Caller) -> Request:
    if not 0 <= size <= _MAXIMUM_BITS:
        raise InvalidValue("KEY_SIZE", f"A key size of {size} bits is not supported.")
    return with_generation(request, request.key.gen_type, size or DEFAULT_RSA_BITS)


def with_generation(request: Request, algorithm: KeyAlgorithm, size: int) -> Request:
    """*request* with what its next key is to be; a size that no key of the type has is raised."""
    bits = settled_size(algorithm, size)
    key_next = replace(request.key_next, gen_type=algorithm, gen_size=bits)
    return replace(request, key=replace(request.key, gen_type=algorithm, gen_size=bits), key_next=key_next)


def _with_key_storage(request: Request, storage: KeyStorage) -> Request:
    return replace(request, key_storage=storage)


def _with_cert_storage(request: Request, storage: CertStorage) -> Request:
    return replace(request, cert_storage=storage)


def _with_template(request: Request, template: Template) -> Request:
    return replace(request, template=template)


def _with_ca_certs(request: Request, locations: CaCertLocations) -> Request:
    return replace(request, ca_certs=locations)


def _with_pin(request: Request, pin: str, _caller: Caller) -> Request:
    old = request.key_storage
    storage = replace(old, pin=Secret(pin) if pin else None, pin_file="" if pin else old.pin_file)
    return _with_key_storage(request, storage)


def _with_pin_file(request: Request, path: str, _caller: Caller) -> Request:
    old = request.key_storage
    storage = replace(old, pin_file=_place_of_secret("KEY_PIN_FILE", path), pin=None if path else old.pin)
    return _with_key_storage(request, storage)


def _with_challenge(request: Request, text: str, _caller: Caller) -> Request:
    old = request.template
    secret = Secret(text) if text else None
    file = "" if text else old.challenge_password_file
    return _with_template(request, replace(old, challenge_password=secret, challenge_password_file=file))


def _with_challenge_file(request: Request, path: str, _caller: Caller) -> Request:
    old = request.template
    file = _place_of_secret("template-challenge-password-file", path)
    secret = None if path else old.challenge_password
    return _with_template(request, replace(old, challenge_password=secret, challenge_password_file=file))


def _with_subject(request: Request, text: str, _caller: Caller) -> Request:
    if text:
        try:
            encode_name(text)
        except InvalidValue as exc:
            raise InvalidValue("SUBJECT", f'The subject name "{text}" cannot be used: {exc.reason}') from exc
    subject_der = request.template.subject_der if text == request.template.subject else b""
    return _with_template(request, replace(request.template, subject=text, subject_der=subject_der))


def _place_of_secret(key: str, path: str) -> str:
    if path and not is_place_of_secret(path):
        raise InvalidValue(key, f'The location "{path}" must be an absolute path.')
    return path


def _key_usage(bits: str) -> str:
    if not _KEY_USAGE.fullmatch(bits):
        raise InvalidValue("KU", f'The key usage "{bits}" must consist of up to nine digits 0 or 1.')
    return bits


def _usage_oids(names: tuple[str, ...]) -> tuple[str, ...]:
    oids: list[str] = []
    for name in (part.strip() for element in names for part in element.split(",")):
        oid = object_identifier(name) or object_identifier(f"id-kp-{name}")
        if oid is None and name:
            raise InvalidValue("EKU", f'The extended key usage "{name}" is not an object identifier.')
        oids += [oid] if oid else []
    return tuple(oids)


def _ip_addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise InvalidValue("template-ip-address", f'"{text}" is not an IP address.') from None
    return texts


def _path_length(length: int) -> int:
    if not -1 <= length <= _MAXIMUM_PATH_LENGTH:
        raise InvalidValue("template-ca-path-length", f"The path length {length} must be -1 (none) or more.")
    return length


def _mode(key: str, mode: int) -> int:
    if not 0 <= mode <= _MAXIMUM_MODE:
        raise InvalidValue(key, f"The mode {mode} must be between 0 and {_MAXIMUM_MODE} (octal 7777).")
    return mode


def _notification_method(word: str) -> str:
    if not word:
        return word
    try:
        return notification_method(word).value
    except InvalidValue as exc:
        raise InvalidValue("notification-method", f"The notification method {exc.reason}.") from exc


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise InvalidValue("notification-destination", "The destination of notifications has control characters.")
    return text


def _ms_template(text: str) -> str:
    if text and not _MS_TEMPLATE.fullmatch(text):
        raise InvalidValue("template-ms-certificate-template", f"Invalid V2 certificate template specifier: {text}")
    return text


def _with_probe(request: Request, place: str, _caller: Caller) -> Request:
    if place:
        parse_probe(place)
    return replace(request, deployment=replace(request.deployment, probe=place))


def hook(command: str, caller: Caller) -> Hook:
    """*command* as the hook of *caller*, who it will run as."""
    uid = str(caller.uid) if command and caller.uid is not None else ""
    return Hook(command=command, uid=uid)


def _text(keys: tuple[str, ...], apply: Callable[[Request, str, Caller], Request], *properties: str) -> Setting[str]:
    return Setting(keys=keys, read=text_of, apply=apply, properties=properties or (keys[-1],))


def _texts(
    keys: tuple[str, ...], apply: Callable[[Request, tuple[str, ...], Caller], Request]
) -> Setting[tuple[str, ...]]:
    return Setting(keys=keys, read=texts_of, apply=apply, properties=(keys[-1],))


def _number(keys: tuple[str, ...], apply: Callable[[Request, int, Caller], Request]) -> Setting[int]:
    return Setting(keys=keys, read=number_of, apply=apply, properties=(keys[-1],))


def _flag(keys: tuple[str, ...], apply: Callable[[Request, bool, Caller], Request]) -> Setting[bool]:
    return Setting(keys=keys, read=flag_of, apply=apply, properties=(keys[-1],))


AnySetting = Setting[str] | Setting[int] | Setting[bool] | Setting[tuple[str, ...]]

KEY_SETTINGS: Final[tuple[AnySetting, ...]] = (
    _text(("KEY_TYPE", "key-type"), _with_key_type),
    _number(("KEY_SIZE", "key-size"), _with_key_size),
)
"""Applied in this order: the size is fitted to the type."""

OTHER_SETTINGS: Final[tuple[AnySetting, ...]] = (
    _text(("KEY_PIN", "key-pin"), _with_pin, "key-pin", "key-pin-file"),
    _text(("KEY_PIN_FILE", "key-pin-file"), _with_pin_file, "key-pin", "key-pin-file"),
    _text(
        ("template-profile", "ca-profile"),
        lambda r, v, _: _with_template(r, replace(r.template, profile=v)),
        "template-profile",
        "ca-profile",
    ),
    _text(("template-issuer",), lambda r, v, _: _with_template(r, replace(r.template, issuer=v))),
    _flag(("TRACK", "monitoring"), lambda r, v, _: replace(r, monitor=v)),
    _flag(("RENEW", "autorenew"), lambda r, v, _: replace(r, autorenew=v)),
    _text(("SUBJECT", "template-subject"), _with_subject),
    _text(("KU", "template-ku"), lambda r, v, _: _with_template(r, replace(r.template, ku=_key_usage(v)))),
    _texts(("EKU", "template-eku"), lambda r, v, _: _with_template(r, replace(r.template, eku=_usage_oids(v)))),
    _texts(("DNS", "template-hostname"), lambda r, v, _: _with_template(r, replace(r.template, hostname=v))),
    _texts(("EMAIL", "template-email"), lambda r, v, _: _with_template(r, replace(r.template, email=v))),
    _texts(("PRINCIPAL", "template-principal"), lambda r, v, _: _with_template(r, replace(r.template, principal=v))),
    _texts(
        ("template-ip-address",),
        lambda r, v, _: _with_template(r, replace(r.template, ip_address=_ip_addresses(v))),
    ),
    _flag(("template-is-ca",), lambda r, v, _: _with_template(r, replace(r.template, is_ca=v))),
    _number(
        ("template-ca-path-length",),
        lambda r, v, _: _with_template(r, replace(r.template, ca_path_length=_path_length(v))),
    ),
    _texts(("template-ocsp",), lambda r, v, _: _with_template(r, replace(r.template, ocsp=v))),
    _texts(("template-crldp",), lambda r, v, _: _with_template(r, replace(r.template, crldp=v))),
    _texts(("template-freshest-crl",), lambda r, v, _: _with_template(r, replace(r.template, freshest_crl=v))),
    _text(("template-ns-comment",), lambda r, v, _: _with_template(r, replace(r.template, ns_comment=v))),
    _text(("template-ns-certtype",), lambda r, v, _: _with_template(r, replace(r.template, ns_certtype=v))),
    _text(
        ("template-ms-certificate-template",),
        lambda r, v, _: _with_template(r, replace(r.template, certificate_template=_ms_template(v))),
    ),
    _text(
        ("template-challenge-password",),
        _with_challenge,
        "template-challenge-password",
        "template-challenge-password-file",
    ),
    _text(
        ("template-challenge-password-file",),
        _with_challenge_file,
        "template-challenge-password",
        "template-challenge-password-file",
    ),
    _text(
        ("cert-presave-command",),
        lambda r, v, caller: replace(r, pre_save=hook(v, caller)),
        "cert-presave-command",
        "cert-presave-uid",
    ),
    _text(
        ("cert-postsave-command",),
        lambda r, v, caller: replace(r, post_save=hook(v, caller)),
        "cert-postsave-command",
        "cert-postsave-uid",
    ),
    _text(
        ("notification-method",),
        lambda r, v, _: replace(r, notification=replace(r.notification, method=_notification_method(v))),
        *NOTIFICATION_PROPERTIES,
    ),
    _text(
        ("notification-destination",),
        lambda r, v, _: replace(r, notification=replace(r.notification, destination=_one_line(v))),
        *NOTIFICATION_PROPERTIES,
    ),
    _texts(("root-cert-files",), lambda r, v, _: _with_ca_certs(r, replace(r.ca_certs, root_files=v))),
    _texts(("root-other-cert-files",), lambda r, v, _: _with_ca_certs(r, replace(r.ca_certs, other_root_files=v))),
    _texts(("other-cert-files",), lambda r, v, _: _with_ca_certs(r, replace(r.ca_certs, other_files=v))),
    _texts(("root-cert-nssdbs",), lambda r, v, _: _with_ca_certs(r, replace(r.ca_certs, root_dbs=v))),
    _texts(("root-other-cert-nssdbs",), lambda r, v, _: _with_ca_certs(r, replace(r.ca_certs, other_root_dbs=v))),
    _texts(("other-cert-nssdbs",), lambda r, v, _: _with_ca_certs(r, replace(r.ca_certs, other_dbs=v))),
    _text(("cert-owner",), lambda r, v, _: _with_cert_storage(r, replace(r.cert_storage, owner=v))),
    _text(("key-owner",), lambda r, v, _: _with_key_storage(r, replace(r.key_storage, owner=v))),
    _number(
        ("cert-perms",),
        lambda r, v, _: _with_cert_storage(r, replace(r.cert_storage, perms=_mode("cert-perms", v))),
    ),
    _number(
        ("key-perms",),
        lambda r, v, _: _with_key_storage(r, replace(r.key_storage, perms=_mode("key-perms", v))),
    ),
    _text(("nss-user",), lambda r, v, _: replace(r, nss_user=v)),
    Setting(keys=("probe",), read=text_of, apply=_with_probe, properties=()),
)

SETTINGS: Final[tuple[AnySetting, ...]] = KEY_SETTINGS + OTHER_SETTINGS
SETTINGS_BY_KEY: Final[dict[str, AnySetting]] = {key.lower(): setting for setting in SETTINGS for key in setting.keys}
"""By lower-case dictionary key, which for writable properties is the property's name."""
