"""Requests to and from the records of their state files. No I/O.

Keys, their order and their spelling are certmonger's. Where a key is missing or
unusable, the safe value is taken rather than certmonger's: without a state the
request starts over by looking at what is on disk (certmonger generates a new key),
and without `autorenew` and `monitor` it is watched and renewed (certmonger then
lets the certificate expire silently).
"""

from collections.abc import Callable, Iterable
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.ids import Nickname
from certmongerd.core.model import (
    DEFAULT_RSA_BITS,
    FIXED_KEY_SIZES,
    CaCertLocations,
    CertificateFacts,
    CertStorage,
    Deployment,
    Hook,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    Notification,
    Request,
    ScepMessages,
    StorageType,
    Template,
)
from certmongerd.core.pkcs11_uri import is_pkcs11
from certmongerd.store.certificates import BARE_PUBLIC_KEY, CERTIFICATES
from certmongerd.store.format import Record
from certmongerd.store.table import Reading, Row, Table, row
from certmongerd.store.values import (
    ADDRESSES,
    ALGORITHM,
    BASE64,
    BASE64_ADDRESSES,
    BOOLEAN,
    COUNT,
    GENERATION_ALGORITHM,
    HEX,
    INTEGER,
    LIST,
    LOCATION,
    MODE,
    PEM,
    SECRET,
    STATE,
    STORAGE_TYPE,
    STRING,
    TIME,
    TIME_IF_ANY,
    USAGES,
)

DEFAULT_EC_BITS: Final = 256


def _has_inline_pin(request: Request) -> bool:
    return not request.key_storage.pin_file


def _has_deploy_failures(request: Request) -> bool:
    return request.deployment.failures > 0


def _has_ca_certs_failures(request: Request) -> bool:
    return request.deployment.ca_certs_failures > 0


def _has_attempts(request: Request) -> bool:
    return request.attempts > 0


def _has_demands(request: Request) -> bool:
    return request.demands > 0


def _counts_next_submissions(request: Request) -> bool:
    return bool(request.key_next_marker or request.key_next.requested_count)


_ROWS: Final[tuple[Row[Request], ...]] = (
    row("id", "id", STRING),
    row("key_type", "key.type", ALGORITHM),
    row("key_gen_type", "key.gen_type", GENERATION_ALGORITHM),
    row("key_size", "key.size", INTEGER),
    row("key_gen_size", "key.gen_size", INTEGER),
    row("key_next_type", "key_next.type", ALGORITHM),
    row("key_next_gen_type", "key_next.gen_type", GENERATION_ALGORITHM),
    row("key_next_size", "key_next.size", INTEGER),
    row("key_next_gen_size", "key_next.gen_size", INTEGER),
    row("key_next_marker", "key_next_marker", STRING),
    row("key_preserve", "key_preserve", BOOLEAN),
    row("key_storage_type", "key_storage.type", STORAGE_TYPE),
    row("key_storage_location", "key_storage.location", LOCATION),
    row("key_token", "key_storage.token", STRING),
    row("key_nickname", "key_storage.nickname", STRING),
    row("key_pin", "key_storage.pin", SECRET, when=_has_inline_pin),
    row("key_pin_file", "key_storage.pin_file", STRING),
    row("key_owner", "key_storage.owner", STRING),
    row("key_perms", "key_storage.perms", MODE),
    row("key_pubkey", "key.pubkey_info", BARE_PUBLIC_KEY, is_read=False),
    row("key_pubkey_info", "key.pubkey_info", HEX),
    row("key_next_pubkey", "key_next.pubkey_info", BARE_PUBLIC_KEY, is_read=False),
    row("key_next_pubkey_info", "key_next.pubkey_info", HEX),
    row("key_generated_date", "key.generated_at", TIME_IF_ANY),
    row("key_next_generated_date", "key_next.generated_at", TIME_IF_ANY),
    row("key_requested_count", "key.requested_count", INTEGER),
    row("key_next_requested_count", "key_next.requested_count", INTEGER, when=_counts_next_submissions),
    row("key_issued_count", "key_issued_count", INTEGER),
    row("cert_storage_type", "cert_storage.type", STORAGE_TYPE),
    row("cert_storage_location", "cert_storage.location", LOCATION),
    row("cert_token", "cert_storage.token", STRING),
    row("cert_nickname", "cert_storage.nickname", STRING),
    row("cert_owner", "cert_storage.owner", STRING),
    row("cert_perms", "cert_storage.perms", MODE),
    row("cert_issuer_der", "cert_facts.issuer_der", HEX),
    row("cert_issuer", "cert_facts.issuer", STRING),
    row("cert_serial", "cert_facts.serial", STRING),
    row("cert_subject_der", "cert_facts.subject_der", HEX),
    row("cert_subject", "cert_facts.subject", STRING),
    row("cert_spki", "cert_facts.spki", HEX),
    row("cert_not_before", "cert_facts.not_before", TIME_IF_ANY),
    row("cert_not_after", "cert_facts.not_after", TIME_IF_ANY),
    row("cert_hostname", "cert_facts.hostname", LIST),
    row("cert_email", "cert_facts.email", LIST),
    row("cert_principal", "cert_facts.principal", LIST),
    row("cert_ipaddress", "cert_facts.ip_address", BASE64_ADDRESSES),
    row("cert_ku", "cert_facts.ku", STRING),
    row("cert_eku", "cert_facts.eku", USAGES),
    row("cert_is_ca", "cert_facts.is_ca", BOOLEAN),
    row("cert_ca_path_length", "cert_facts.ca_path_length", INTEGER),
    row("cert_crldp", "cert_facts.crldp", LIST),
    row("cert_freshest_crl", "cert_facts.freshest_crl", LIST),
    row("cert_ocsp", "cert_facts.ocsp", LIST),
    row("cert_ns_comment", "cert_facts.ns_comment", STRING),
    row("cert_profile", "cert_facts.profile", STRING),
    row("cert_ns_certtype", "cert_facts.ns_certtype", STRING),
    row("cert_no_ocsp_check", "cert_facts.no_ocsp_check", BOOLEAN),
    row("nss_user", "nss_user", STRING),
    row("last_need_notify_check", "last_need_notify_check", TIME),
    row("last_need_enroll_check", "last_need_enroll_check", TIME),
    row("template_subject_der", "template.subject_der", HEX),
    row("template_subject", "template.subject", STRING),
    row("template_hostname", "template.hostname", LIST),
    row("template_email", "template.email", LIST),
    row("template_principal", "template.principal", LIST),
    row("template_ipaddress", "template.ip_address", ADDRESSES),
    row("template_ku", "template.ku", STRING),
    row("template_eku", "template.eku", USAGES),
    row("template_is_ca", "template.is_ca", BOOLEAN),
    row("template_ca_path_length", "template.ca_path_length", INTEGER),
    row("template_crldp", "template.crldp", LIST),
    row("template_freshest_crl", "template.freshest_crl", LIST),
    row("template_ocsp", "template.ocsp", LIST),
    row("template_ns_comment", "template.ns_comment", STRING),
    row("template_profile", "template.profile", STRING),
    row("template_issuer", "template.issuer", STRING),
    row("template_no_ocsp_check", "template.no_ocsp_check", BOOLEAN),
    row("template_ns_certtype", "template.ns_certtype", STRING),
    row("template_certificate_template", "template.certificate_template", STRING),
    row("template_challenge_password", "template.challenge_password", SECRET),
    row("template_challenge_password_file", "template.challenge_password_file", STRING),
    row("csr", "csr", PEM),
    row("spkac", "spkac", STRING),
    row("scep_tx", "scep.tx", STRING),
    row("scep_nonce", "scep.nonce", BASE64),
    row("scep_last_nonce", "scep.last_nonce", BASE64),
    row("scep_gic", "scep.gic", PEM),
    row("scep_gic_next", "scep.gic_next", PEM),
    row("scep_req", "scep.req", PEM),
    row("scep_req_next", "scep.req_next", PEM),
    row("minicert", "scep.minicert", BASE64),
    row("state", "state", STATE),
    row("autorenew", "autorenew", BOOLEAN),
    row("monitor", "monitor", BOOLEAN),
    row("ca_name", "ca_name", STRING),
    row("submitted", "submitted", TIME),
    row("ca_cookie", "ca_cookie", STRING),
    row("ca_error", "ca_error", STRING),
    row("cert", "cert", PEM),
    row("cert_chain", "cert_chain", CERTIFICATES),
    row("cert_roots", "cert_roots", CERTIFICATES),
    row("pre_certsave_command", "pre_save.command", STRING),
    row("pre_certsave_uid", "pre_save.uid", STRING),
    row("post_certsave_command", "post_save.command", STRING),
    row("post_certsave_uid", "post_save.uid", STRING),
    row("root_cert_files", "ca_certs.root_files", LIST),
    row("other_root_cert_files", "ca_certs.other_root_files", LIST),
    row("other_cert_files", "ca_certs.other_files", LIST),
    row("root_cert_dbs", "ca_certs.root_dbs", LIST),
    row("other_root_cert_dbs", "ca_certs.other_root_dbs", LIST),
    row("other_cert_dbs", "ca_certs.other_dbs", LIST),
    # certmonger does not know the following, and forgets them.
    row("notification_method", "notification.method", STRING),
    row("notification_destination", "notification.destination", STRING),
    row("declared_by", "declared_by", STRING),
    row("deploy_probe", "deployment.probe", STRING),
    row("deploy_pre_save_error", "deployment.pre_save_error", STRING),
    row("deploy_error", "deployment.error", STRING),
    row("deploy_failures", "deployment.failures", COUNT, when=_has_deploy_failures),
    row("deploy_retry", "deployment.retry_at", TIME_IF_ANY),
    row("ca_certs_error", "deployment.ca_certs_error", STRING),
    row("ca_certs_failures", "deployment.ca_certs_failures", COUNT, when=_has_ca_certs_failures),
    row("ca_certs_retry", "deployment.ca_certs_retry_at", TIME_IF_ANY),
    row("attempts", "attempts", COUNT, when=_has_attempts),
    row("demands", "demands", COUNT, when=_has_demands),
    row("next_attempt", "next_attempt", TIME_IF_ANY),
)

_OLD_SPELLINGS: Final = {
    "cert_issued": ("cert_not_before",),
    "cert_expiration": ("cert_not_after",),
    "last_expiration_check": ("last_need_notify_check", "last_need_enroll_check"),
    "ca_profile": ("template_profile",),
    "challenge_password": ("template_challenge_password",),
}
"""Keys of earlier certmonger releases; the present key wins when both are there."""

REQUEST_TABLE: Final = Table(_ROWS, _OLD_SPELLINGS, Request(id=Nickname("")))

_GROUPS: Final[dict[str, Callable[..., object]]] = {
    "key": KeyRecord,
    "key_next": KeyRecord,
    "key_storage": KeyStorage,
    "cert_storage": CertStorage,
    "cert_facts": CertificateFacts,
    "template": Template,
    "scep": ScepMessages,
    "pre_save": Hook,
    "post_save": Hook,
    "ca_certs": CaCertLocations,
    "notification": Notification,
    "deployment": Deployment,
}
_BLANK_GROUPS: Final = {type(blank): blank for blank in (build() for build in _GROUPS.values())}
_BUILD: Final[Callable[..., Request]] = Request


def read_request(records: Iterable[Record]) -> tuple[Request, tuple[str, ...]]:
    """The request of a state file, and what was wrong with single values.

    Raises InvalidValue when there is no `id`: such a file is not a request.
    """
    reading = REQUEST_TABLE.read(records)
    own = reading.fields.pop("", {})
    if not own.get("id"):
        raise InvalidValue("id", "has no id, so it is not a request")
    if "state" not in own:
        reading.complaints.append("there is no state; the request starts over from what is on disk")
    _complete_generation(reading.group("key"))
    _complete_generation(reading.group("key_next"))
    _complete_key_storage(reading)
    _share_public_key(reading)
    groups = {name: _shared(_GROUPS[name](**values)) for name, values in reading.fields.items()}
    return _BUILD(**own, **groups, unknown=tuple(reading.unknown)), tuple(reading.complaints)


def write_request(request: Request) -> list[Record]:
    """The records of a request's state file; an inline PIN is left out when there is a PIN file."""
    return REQUEST_TABLE.write(request, request.unknown)


def _shared(group: object) -> object:
    """*group*, or the one object for all groups in which nothing is set."""
    blank = _BLANK_GROUPS[type(group)]
    return blank if blank == group else group


def _share_public_key(reading: Reading) -> None:
    """A certificate is for the key, mostly: then its public key need not be held twice."""
    key, facts = reading.group("key"), reading.group("cert_facts")
    if "spki" in facts and facts["spki"] == key.get("pubkey_info"):
        facts["spki"] = key["pubkey_info"]


def _complete_generation(values: dict[str, object]) -> None:
    size = values.get("gen_size")
    if values.get("gen_type") in FIXED_KEY_SIZES:
        return
    if not isinstance(size, int) or size <= 0:
        is_ec = values.get("gen_type") is KeyAlgorithm.EC
        values["gen_size"] = DEFAULT_EC_BITS if is_ec else DEFAULT_RSA_BITS


def _complete_key_storage(reading: Reading) -> None:
    """Without a type a location would be ignored, and with it the key."""
    values = reading.group("key_storage")
    if is_pkcs11(str(values.get("nickname", ""))):
        # certmonger, which does not know tokens, changes type and location of their keys, but not the nickname.
        values["type"] = StorageType.PKCS11
        values["location"] = values["nickname"]
    elif values.get("location") and "type" not in values:
        kind = StorageType.NSSDB if values.get("nickname") else StorageType.FILE
        values["type"] = kind
        reading.complaints.append(f"there is no usable key_storage_type; {kind.value} is assumed")
