"""The interface of a CA: its rows, in the order of certmonger's introspection data."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from certmongerd.api import CA_INTERFACE
from certmongerd.busapi.entries import flag_of, text_of, texts_of
from certmongerd.busapi.locations import DATABASE_LISTS, require_absolute, require_absolute_database
from certmongerd.busapi.refusal import CallRefused, bad_arg, invalid_args
from certmongerd.busapi.request import pairs
from certmongerd.busapi.service import Caller
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Property, Subject
from certmongerd.busapi.transport import Variant
from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Ca, CaCertLocations, CaType
from certmongerd.scep.caps import parse_cipher, parse_digest

_log = logging.getLogger(__name__)

_Change = Callable[[Ca], Ca]


def _getter(name: str, read: Callable[[Subject[Ca]], Answer], arg: Arg) -> Method[Ca]:
    async def handle(subject: Subject[Ca], _: Arguments) -> Answer:
        return read(subject)

    return Method(name=name, gives=(arg,), handle=handle, only_reads=True)


def _read(name: str, type_: str, source: str, get: Callable[[Ca], object]) -> Property[Ca]:
    return Property(name=name, type=type_, source=source, get=lambda ca, _: get(ca))


def _wrong_type(name: str, value: Variant) -> CallRefused:
    return invalid_args(f'Property "{name}" cannot hold a value of type "{value.signature}".')


async def _change(subject: Subject[Ca], name: str, change: _Change, *, refetch: bool) -> None:
    with subject.context.announcer.announcing(subject.path, (name,)):
        await subject.service.change_ca(subject.path, change, refetch=refetch)


async def _set_default(subject: Subject[Ca], value: Variant, _: Caller) -> None:
    """At most one CA is the default; each one changed is stored."""
    wanted = flag_of(value)
    if wanted is None:
        raise _wrong_type("is-default", value)
    if wanted:
        for path, ca in tuple(subject.service.cas().items()):
            if ca.is_default and path != subject.path:
                await subject.service.change_ca(path, lambda other: replace(other, is_default=False), refetch=False)
    await _change(subject, "is-default", lambda ca: replace(ca, is_default=wanted), refetch=False)


def _external_text(
    name: str,
    source: str,
    get: Callable[[Ca], str],
    apply: Callable[[Ca, str], Ca],
    check: Callable[[str], object] = str,
) -> Property[Ca]:
    """A text that only external CAs have; setting it asks the CA for all its data again.

    *check* raises InvalidValue for a text that cannot be used; the empty text takes a setting back.
    """

    async def write(subject: Subject[Ca], value: Variant, _: Caller) -> None:
        text = text_of(value)
        if text is None:
            raise _wrong_type(name, value)
        try:
            check(text)
        except InvalidValue as error:
            raise bad_arg(error.reason, name) from error
        if subject.value.type is CaType.INTERNAL_SELF:
            _log.warning("Property %s of the internal CA %s has no use, it was not set.", name, subject.value.id)
            return
        await _change(subject, name, lambda ca: apply(ca, text), refetch=True)

    return Property(name=name, type="s", source=source, get=lambda ca, _: get(ca), write=write, shows_empty=True)


def _locations(
    name: str,
    get: Callable[[CaCertLocations], tuple[str, ...]],
    apply: Callable[[CaCertLocations, tuple[str, ...]], CaCertLocations],
) -> Property[Ca]:
    require = require_absolute_database if name in DATABASE_LISTS else require_absolute

    async def write(subject: Subject[Ca], value: Variant, _: Caller) -> None:
        texts = texts_of(value)
        if texts is None:
            raise _wrong_type(name, value)
        for location in texts:
            require(location, name)
        await _change(subject, name, lambda ca: replace(ca, ca_certs=apply(ca.ca_certs, texts)), refetch=False)

    return Property(name=name, type="as", source="ca_certs", get=lambda ca, _: get(ca.ca_certs), write=write)


async def _refresh(subject: Subject[Ca], _: Arguments) -> Answer:
    return Answer("b", (await subject.service.refresh_ca(subject.path),))


def _serial(subject: Subject[Ca]) -> Answer:
    ca = subject.value
    is_known = ca.type is CaType.INTERNAL_SELF and ca.internal_serial
    return Answer("s", (ca.internal_serial,)) if is_known else Answer()


CA: Final[Interface[Ca]] = Interface(
    CA_INTERFACE,
    (
        _getter("get_config_file_path", lambda s: Answer("s", (s.service.ca_file(s.path),)), Arg("path", "s")),
        _getter("get_nickname", lambda s: Answer("s", (s.value.id,)), Arg("nickname", "s")),
        _read("nickname", "s", "id", lambda ca: ca.id),
        _read("aka", "s", "aka", lambda ca: ca.aka),
        _getter("get_is_default", lambda s: Answer("b", (s.value.is_default,)), Arg("default", "b")),
        Property(
            name="is-default",
            type="b",
            source="is_default",
            get=lambda ca, _: ca.is_default,
            write=_set_default,
        ),
        _getter("get_type", lambda s: Answer("s", (s.value.type.value,)), Arg("type", "s")),
        _getter("get_serial", _serial, Arg("serial_hex", "s")),
        _getter("get_location", lambda s: Answer("s", (s.value.external_helper,)), Arg("path", "s")),
        _external_text(
            "external-helper",
            "external_helper",
            lambda ca: ca.external_helper,
            lambda ca, text: replace(ca, external_helper=text),
        ),
        _getter("get_issuer_names", lambda s: Answer("as", (s.value.issuer_names,)), Arg("names", "as")),
        Method(name="refresh", gives=(Arg("working", "b"),), handle=_refresh),
        _read("ca-error", "s", "error deployment_error", lambda ca: ca.trouble),
        _read("issuer-names", "as", "issuer_names", lambda ca: ca.issuer_names),
        _read("root-certs", "a(ss)", "root_certs", lambda ca: pairs(ca.root_certs)),
        _read("root-other-certs", "a(ss)", "other_root_certs", lambda ca: pairs(ca.other_root_certs)),
        _read("other-certs", "a(ss)", "other_certs", lambda ca: pairs(ca.other_certs)),
        _read(
            "required-enroll-attributes", "as", "required_enroll_attributes", lambda ca: ca.required_enroll_attributes
        ),
        _read(
            "required-renew-attributes", "as", "required_renewal_attributes", lambda ca: ca.required_renewal_attributes
        ),
        _read("supported-profiles", "as", "profiles", lambda ca: ca.profiles),
        _read("default-profile", "s", "default_profile", lambda ca: ca.default_profile),
        _locations("root-cert-files", lambda c: c.root_files, lambda c, v: replace(c, root_files=v)),
        _locations("root-other-cert-files", lambda c: c.other_root_files, lambda c, v: replace(c, other_root_files=v)),
        _locations("other-cert-files", lambda c: c.other_files, lambda c, v: replace(c, other_files=v)),
        _locations("root-cert-nssdbs", lambda c: c.root_dbs, lambda c, v: replace(c, root_dbs=v)),
        _locations("root-other-cert-nssdbs", lambda c: c.other_root_dbs, lambda c, v: replace(c, other_root_dbs=v)),
        _locations("other-cert-nssdbs", lambda c: c.other_dbs, lambda c, v: replace(c, other_dbs=v)),
        _read("ca-presave-command", "s", "pre_save", lambda ca: ca.pre_save.command),
        _read("ca-presave-uid", "s", "pre_save", lambda ca: ca.pre_save.uid),
        _read("ca-postsave-command", "s", "post_save", lambda ca: ca.post_save.command),
        _read("ca-postsave-uid", "s", "post_save", lambda ca: ca.post_save.uid),
        _external_text(
            "scep-cipher",
            "scep_cipher",
            lambda ca: ca.scep_cipher,
            lambda ca, text: replace(ca, scep_cipher=text),
            check=lambda text: parse_cipher(text) if text else None,
        ),
        _external_text(
            "scep-digest",
            "scep_digest",
            lambda ca: ca.scep_digest,
            lambda ca, text: replace(ca, scep_digest=text),
            check=lambda text: parse_digest(text) if text else None,
        ),
        _external_text(
            "scep-ca-identifier",
            "scep_ca_identifier",
            lambda ca: ca.scep_ca_identifier,
            lambda ca, text: replace(ca, scep_ca_identifier=text),
        ),
        _read("scep-ca-capabilities", "as", "capabilities", lambda ca: ca.capabilities),
        _read("scep-ra-cert", "s", "encryption_cert", lambda ca: ca.encryption_cert),
        _read("scep-ca-cert", "s", "encryption_issuer_cert", lambda ca: ca.encryption_issuer_cert),
        _read("scep-other-certs", "s", "encryption_cert_pool", lambda ca: ca.encryption_cert_pool),
    ),
)
"""`org.fedorahosted.certmonger.ca`."""
