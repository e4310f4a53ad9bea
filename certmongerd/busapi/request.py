"""The interface of a request: its rows, in the order of certmonger's introspection data."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from certmongerd.api import REQUEST_INTERFACE
from certmongerd.busapi.modify import set_request_property
from certmongerd.busapi.notification import (
    NOTIFICATION_DESTINATIONS,
    answer_notification,
    notification_destination,
    notification_type,
)
from certmongerd.busapi.request_methods import (
    answer_ca,
    answer_cert_info,
    answer_cert_storage,
    answer_csr_info,
    answer_key_storage,
    answer_key_type_and_size,
    answer_status,
    command,
    getter,
    modify_request,
    optional_text,
    optional_time,
)
from certmongerd.busapi.service import Caller, RequestCommand, Service
from certmongerd.busapi.table import EMITS_CHANGED, Answer, Arg, Interface, Method, Property, Signal, Subject
from certmongerd.busapi.transport import Variant
from certmongerd.core.model import NamedCertificate, Request, StorageType


def seconds(moment: datetime | None) -> int:
    """Unix time; 0 for None."""
    return int(moment.timestamp()) if moment is not None else 0


def pairs(certificates: tuple[NamedCertificate, ...]) -> tuple[tuple[str, str], ...]:
    """Nickname and PEM of each certificate."""
    return tuple((certificate.nickname, certificate.pem) for certificate in certificates)


def _read(
    name: str, type_: str, source: str, get: Callable[[Request], object], *, shows_empty: bool = False
) -> Property[Request]:
    return Property(name=name, type=type_, source=source, get=lambda request, _: get(request), shows_empty=shows_empty)


def _in_certificate(name: str, get: Callable[[Request], object]) -> Property[Request]:
    """Names in the certificate; that there are none is known once there is one."""
    return Property(
        name=name, type="as", source="cert_facts", get=lambda request, _: get(request), is_known=lambda r: bool(r.cert)
    )


def _write(
    name: str,
    type_: str,
    source: str,
    get: Callable[[Request], object],
    *,
    shows_empty: bool = False,
    is_secret: bool = False,
) -> Property[Request]:
    async def write(subject: Subject[Request], value: Variant, caller: Caller) -> None:
        await set_request_property(subject, name, value, caller)

    return Property(
        name=name,
        type=type_,
        source=source,
        get=lambda request, _: get(request),
        write=write,
        shows_empty=shows_empty,
        is_secret=is_secret,
    )


def _ca_path(request: Request, service: Service) -> str:
    return (service.ca_path(request.ca_name) or "") if request.ca_name else ""


def _cert_if(storage: StorageType, attribute: Callable[[Request], str]) -> Callable[[Request], str]:
    return lambda request: attribute(request) if request.cert_storage.type is storage else ""


def _key_if(storage: StorageType, attribute: Callable[[Request], str]) -> Callable[[Request], str]:
    return lambda request: attribute(request) if request.key_storage.type is storage else ""


def _key_file(request: Request) -> str:
    """The file, or the URI of a key in a token."""
    storage = request.key_storage
    return storage.location if storage.type in (StorageType.FILE, StorageType.PKCS11) else ""


_FILE: Final = StorageType.FILE
_NSSDB: Final = StorageType.NSSDB

_CERTIFICATE_ROWS: Final[tuple[Method[Request] | Property[Request], ...]] = (
    getter("get_nickname", lambda r, _: Answer("s", (r.id,)), Arg("nickname", "s")),
    _read("nickname", "s", "id", lambda r: r.id),
    getter("get_autorenew", lambda r, _: Answer("b", (r.autorenew,)), Arg("enabled", "b")),
    _read("autorenew", "b", "autorenew", lambda r: r.autorenew),
    getter("get_cert_data", lambda r, _: optional_text(r.cert), Arg("pem", "s")),
    Property(name="cert", type="s", source="cert", get=lambda r, _: r.cert, annotations=(EMITS_CHANGED,)),
    _read("cert-chain", "a(ss)", "cert_chain", lambda r: pairs(r.cert_chain)),
    _read("cert-roots", "a(ss)", "cert_roots", lambda r: pairs(r.cert_roots)),
    getter(
        "get_cert_info",
        answer_cert_info,
        Arg("issuer", "s"),
        Arg("serial_hex", "s"),
        Arg("subject", "s"),
        Arg("not_after", "x"),
        Arg("email", "as"),
        Arg("dns", "as"),
        Arg("principal_names", "as"),
        Arg("key_usage", "x"),
        Arg("extended_key_usage", "as"),
        Arg("not_before", "x"),
    ),
    _read("issuer", "s", "cert_facts", lambda r: r.cert_facts.issuer),
    _read("serial", "s", "cert_facts", lambda r: r.cert_facts.serial),
    _read("subject", "s", "cert_facts", lambda r: r.cert_facts.subject),
    _read("not-valid-before", "x", "cert_facts", lambda r: seconds(r.cert_facts.not_before)),
    _read("not-valid-after", "x", "cert_facts", lambda r: seconds(r.cert_facts.not_after)),
    _in_certificate("email", lambda r: r.cert_facts.email),
    _read("ku", "s", "cert_facts", lambda r: r.cert_facts.ku),
    _read("eku", "as", "cert_facts", lambda r: r.cert_facts.eku),
    _in_certificate("hostname", lambda r: r.cert_facts.hostname),
    _in_certificate("principal", lambda r: r.cert_facts.principal),
    getter("get_cert_last_checked", lambda r, _: optional_time(r.last_need_notify_check), Arg("date", "x")),
    _read("last-checked", "x", "last_need_notify_check", lambda r: seconds(r.last_need_notify_check)),
    getter(
        "get_cert_storage_info",
        answer_cert_storage,
        Arg("type", "s"),
        Arg("location_or_nickname", "s"),
        Arg("nss_token", "s"),
    ),
    _read("cert-storage", "s", "cert_storage", lambda r: r.cert_storage.type.value),
    _read("cert-file", "s", "cert_storage", _cert_if(_FILE, lambda r: r.cert_storage.location), shows_empty=True),
    _read("cert-database", "s", "cert_storage", _cert_if(_NSSDB, lambda r: r.cert_storage.location), shows_empty=True),
    _read("cert-nickname", "s", "cert_storage", _cert_if(_NSSDB, lambda r: r.cert_storage.nickname), shows_empty=True),
    _read("cert-token", "s", "cert_storage", _cert_if(_NSSDB, lambda r: r.cert_storage.token), shows_empty=True),
    _write("cert-owner", "s", "cert_storage", lambda r: r.cert_storage.owner),
    _write("cert-perms", "x", "cert_storage", lambda r: r.cert_storage.perms),
)

_TEMPLATE_ROWS: Final[tuple[Method[Request] | Property[Request], ...]] = (
    # A signing request for a SCEP server holds the challenge password (RFC 2985, section 5.4.1).
    getter("get_csr_data", lambda r, _: optional_text(r.csr), Arg("pem", "s"), tells_secret=True),
    Property(name="csr", type="s", source="csr", get=lambda request, _: request.csr, is_private=True),
    getter(
        "get_csr_info",
        answer_csr_info,
        Arg("subject", "s"),
        Arg("email", "as"),
        Arg("dns", "as"),
        Arg("principal_names", "as"),
        Arg("key_usage", "x"),
        Arg("extended_key_usage", "as"),
    ),
    _write(
        "key-pin",
        "s",
        "key_storage",
        lambda r: r.key_storage.pin.reveal() if r.key_storage.pin else "",
        shows_empty=True,
        is_secret=True,
    ),
    _write("key-pin-file", "s", "key_storage", lambda r: r.key_storage.pin_file, shows_empty=True),
    _read("key-generated-date", "x", "key", lambda r: seconds(r.key.generated_at)),
    _read("key-issued-count", "x", "key_issued_count", lambda r: r.key_issued_count),
    _write("template-subject", "s", "template", lambda r: r.template.subject),
    _write("template-email", "as", "template", lambda r: r.template.email),
    _write("template-ku", "s", "template", lambda r: r.template.ku),
    _write("template-eku", "as", "template", lambda r: r.template.eku),
    _write("template-hostname", "as", "template", lambda r: r.template.hostname),
    _write("template-principal", "as", "template", lambda r: r.template.principal),
    _write("template-ip-address", "as", "template", lambda r: r.template.ip_address),
    _read("template-is-ca", "b", "template", lambda r: r.template.is_ca),
    _read(
        "template-ca-path-length",
        "x",
        "template",
        lambda r: r.template.ca_path_length if r.template.is_ca else -1,
    ),
    _write("template-ocsp", "as", "template", lambda r: r.template.ocsp),
    _write("template-crldp", "as", "template", lambda r: r.template.crldp),
    _write("template-freshest-crl", "as", "template", lambda r: r.template.freshest_crl),
    _write("template-ns-comment", "s", "template", lambda r: r.template.ns_comment),
    _write("template-profile", "s", "template", lambda r: r.template.profile),
    _write("template-issuer", "s", "template", lambda r: r.template.issuer),
    _write("template-ms-certificate-template", "s", "template", lambda r: r.template.certificate_template),
    _write("template-ns-certtype", "s", "template", lambda r: r.template.ns_certtype),
    _write(
        "template-challenge-password",
        "s",
        "template",
        lambda r: r.template.challenge_password.reveal() if r.template.challenge_password else "",
        shows_empty=True,
        is_secret=True,
    ),
    _write(
        "template-challenge-password-file",
        "s",
        "template",
        lambda r: r.template.challenge_password_file,
        shows_empty=True,
    ),
)

_KEY_ROWS: Final[tuple[Method[Request] | Property[Request], ...]] = (
    getter(
        "get_key_pin",
        lambda r, _: Answer("s", (r.key_storage.pin.reveal() if r.key_storage.pin else "",)),
        Arg("pin", "s"),
        tells_secret=True,
    ),
    getter("get_key_pin_file", lambda r, _: Answer("s", (r.key_storage.pin_file,)), Arg("pin_file", "s")),
    getter(
        "get_key_storage_info",
        answer_key_storage,
        Arg("type", "s"),
        Arg("location_or_nickname", "s"),
        Arg("nss_token", "s"),
    ),
    _read("key-storage", "s", "key_storage", lambda r: r.key_storage.type.value),
    _read("key-file", "s", "key_storage", _key_file, shows_empty=True),
    _read("key-database", "s", "key_storage", _key_if(_NSSDB, lambda r: r.key_storage.location), shows_empty=True),
    _read("key-nickname", "s", "key_storage", _key_if(_NSSDB, lambda r: r.key_storage.nickname), shows_empty=True),
    _read("key-token", "s", "key_storage", _key_if(_NSSDB, lambda r: r.key_storage.token), shows_empty=True),
    _write("key-owner", "s", "key_storage", lambda r: r.key_storage.owner),
    _write("key-perms", "x", "key_storage", lambda r: r.key_storage.perms),
    getter("get_key_type_and_size", answer_key_type_and_size, Arg("type", "s"), Arg("size", "x")),
    _read("key-type", "s", "key", lambda r: r.key.type.value if r.key.type else "", shows_empty=True),
    _read("key-size", "x", "key", lambda r: r.key.size),
)

_STATE_ROWS: Final[tuple[Method[Request] | Property[Request], ...]] = (
    getter("get_monitoring", lambda r, _: Answer("b", (r.monitor,)), Arg("enabled", "b")),
    _read("monitoring", "b", "monitor", lambda r: r.monitor),
    getter("get_notification_info", answer_notification, Arg("method", "s"), Arg("destination", "s")),
    _read("notification-type", "s", "notification", notification_type, shows_empty=True),
    *(
        _read(name, "s", "notification", partial(notification_destination, kinds=kinds), shows_empty=True)
        for name, kinds in NOTIFICATION_DESTINATIONS
    ),
    getter("get_status", answer_status, Arg("state", "s"), Arg("blocked", "b")),
    _read("status", "s", "state", lambda r: r.state.value),
    _read("stuck", "b", "state deployment", lambda r: r.is_stuck),
    getter("get_ca", answer_ca, Arg("name", "o")),
    Property(name="ca", type="o", source="ca_name", get=_ca_path),
    _read("ca-profile", "s", "template", lambda r: r.template.profile),
    _write("nss-user", "s", "nss_user", lambda r: r.nss_user),
    _read("root-cert-files", "as", "ca_certs", lambda r: r.ca_certs.root_files),
    _read("root-other-cert-files", "as", "ca_certs", lambda r: r.ca_certs.other_root_files),
    _read("other-cert-files", "as", "ca_certs", lambda r: r.ca_certs.other_files),
    _read("root-cert-nssdbs", "as", "ca_certs", lambda r: r.ca_certs.root_dbs),
    _read("root-other-cert-nssdbs", "as", "ca_certs", lambda r: r.ca_certs.other_root_dbs),
    _read("other-cert-nssdbs", "as", "ca_certs", lambda r: r.ca_certs.other_dbs),
    getter("get_submitted_cookie", lambda r, _: optional_text(r.ca_cookie), Arg("cookie", "s")),
    _read("ca-cookie", "s", "ca_cookie", lambda r: r.ca_cookie),
    getter("get_ca_error", lambda r, _: optional_text(r.ca_error), Arg("text", "s")),
    _read("ca-error", "s", "ca_error", lambda r: r.ca_error),
    getter("get_submitted_date", lambda r, _: optional_time(r.submitted), Arg("date", "x")),
    _read("submitted-date", "x", "submitted", lambda r: seconds(r.submitted)),
)

_ACTION_ROWS: Final[tuple[Method[Request] | Property[Request] | Signal, ...]] = (
    Method(
        name="modify",
        takes=(Arg("updates", "a{sv}"),),
        gives=(Arg("status", "b"), Arg("path", "o")),
        handle=modify_request,
    ),
    Method(name="rekey", gives=(Arg("working", "b"),), handle=command(RequestCommand.REKEY)),
    Method(name="resubmit", gives=(Arg("working", "b"),), handle=command(RequestCommand.RESUBMIT)),
    Method(name="refresh", gives=(Arg("working", "b"),), handle=command(RequestCommand.REFRESH)),
    _read("cert-presave-command", "s", "pre_save", lambda r: r.pre_save.command),
    _read("cert-presave-uid", "s", "pre_save", lambda r: r.pre_save.uid),
    _read("cert-postsave-command", "s", "post_save", lambda r: r.post_save.command),
    _read("cert-postsave-uid", "s", "post_save", lambda r: r.post_save.uid),
    Signal(name="SavedCertificate"),
)

REQUEST: Final[Interface[Request]] = Interface(
    REQUEST_INTERFACE, _CERTIFICATE_ROWS + _TEMPLATE_ROWS + _KEY_ROWS + _STATE_ROWS + _ACTION_ROWS
)
"""`org.fedorahosted.certmonger.request`."""
