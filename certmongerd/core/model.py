"""Requests and CAs as frozen values.

Field names follow certmonger's state files (docs/state-files.md) so that a
reader of one recognises the other. Collections are tuples; times are aware
UTC datetimes with whole seconds; None means "not set".
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from certmongerd.core.ids import NO_CA, CaName, Nickname
from certmongerd.core.secret import Secret
from certmongerd.core.states import STUCK_STATES, State

DEFAULT_RSA_BITS = 2048
MINIMUM_RSA_BITS = 1024


class KeyAlgorithm(Enum):
    """Public key algorithms; the value is the spelling of the API and the state files."""

    RSA = "RSA"
    EC = "EC"
    ED25519 = "Ed25519"
    """RFC 8410."""
    ML_DSA_44 = "ML-DSA-44"
    """RFC 9881, as the other two; FIPS 204 says what they are."""
    ML_DSA_65 = "ML-DSA-65"
    ML_DSA_87 = "ML-DSA-87"


FIXED_KEY_SIZES: Final = MappingProxyType(
    {
        KeyAlgorithm.ED25519: 256,
        KeyAlgorithm.ML_DSA_44: 0,
        KeyAlgorithm.ML_DSA_65: 0,
        KeyAlgorithm.ML_DSA_87: 0,
    }
)
"""Sizes of keys that come in one size only; see `KeyRecord.size`."""


class StorageType(Enum):
    """Where a key or certificate is kept."""

    FILE = "FILE"
    NSSDB = "NSSDB"
    PKCS11 = "PKCS11"
    """A token, for keys only; the location is a `pkcs11:` URI. Not known to certmonger."""
    NONE = "NONE"


class CaType(Enum):
    """How a CA is asked."""

    INTERNAL_SELF = "INTERNAL:SELF"
    EXTERNAL = "EXTERNAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of one key pair (the current one or the candidate), and how to make the next."""

    type: KeyAlgorithm | None = None
    """Algorithm of the existing key; None while no key was read."""
    size: int = 0
    """Bits of the existing key (EC: field size); 0 while unknown, and for ML-DSA, which has no size to choose."""
    gen_type: KeyAlgorithm = KeyAlgorithm.RSA
    """Algorithm for the next generation."""
    gen_size: int = DEFAULT_RSA_BITS
    """Bits for the next generation."""
    pubkey_info: bytes = b""
    """DER SubjectPublicKeyInfo; empty while unknown."""
    generated_at: datetime | None = None
    """When the daemon generated the key; None for a key it was given."""
    requested_count: int = 0
    """Submissions made with this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStorage:
    """Where the private key is kept and how to open it."""

    type: StorageType = StorageType.NONE
    location: str = ""
    """Absolute file name, database directory with an optional `sql:`/`dbm:` prefix, or `pkcs11:` URI."""
    token: str = ""
    nickname: str = ""
    """In a database; for a `pkcs11:` URI that once more, since certmonger leaves it in this place only."""
    pin: Secret | None = None
    pin_file: str = ""
    """Wins over `pin` when both are set."""
    owner: str = ""
    """`user` or `user:group`; empty leaves the owner alone."""
    perms: int = 0
    """Mode bits; 0 means not set (new files get 0600)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertStorage:
    """Where the certificate is kept."""

    type: StorageType = StorageType.FILE
    location: str = ""
    token: str = ""
    nickname: str = ""
    owner: str = ""
    perms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCertificate:
    """A CA certificate with the nickname it is to be stored under."""

    nickname: str
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What the daemon remembers of the certificate it tracks; empty before there is one."""

    issuer_der: bytes = b""
    issuer: str = ""
    """RFC 4514-like text, most specific RDN first."""
    serial: str = ""
    """Upper-case hexadecimal without sign padding."""
    subject_der: bytes = b""
    subject: str = ""
    spki: bytes = b""
    """DER SubjectPublicKeyInfo."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    hostname: tuple[str, ...] = ()
    email: tuple[str, ...] = ()
    principal: tuple[str, ...] = ()
    """Kerberos principal names and MS UPNs, `name@REALM`."""
    ip_address: tuple[str, ...] = ()
    """Text form, for example `192.0.2.1`."""
    ku: str = ""
    """Key usage as 0/1 in bit order, trailing zeros dropped."""
    eku: tuple[str, ...] = ()
    """Dotted OIDs."""
    is_ca: bool = False
    ca_path_length: int = -1
    """Path length; -2 unlimited, -1 not a CA."""
    crldp: tuple[str, ...] = ()
    freshest_crl: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()
    ns_comment: str = ""
    profile: str = ""
    """Microsoft certificate template name (V1 extension)."""
    no_ocsp_check: bool = False
    ns_certtype: str = ""
    """Netscape certificate type words, comma separated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What the signing request asks for."""

    subject_der: bytes = b""
    """DER Name, only when copied from a certificate; wins over the text while the text is unchanged."""
    subject: str = ""
    hostname: tuple[str, ...] = ()
    email: tuple[str, ...] = ()
    principal: tuple[str, ...] = ()
    ip_address: tuple[str, ...] = ()
    ku: str = ""
    eku: tuple[str, ...] = ()
    is_ca: bool = False
    ca_path_length: int = -1
    """-1 means none."""
    crldp: tuple[str, ...] = ()
    freshest_crl: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()
    ns_comment: str = ""
    profile: str = ""
    """CA profile or template name (`-T`)."""
    issuer: str = ""
    """Name of the issuer inside the CA (`-X`)."""
    no_ocsp_check: bool = False
    ns_certtype: str = ""
    certificate_template: str = ""
    """Microsoft V2 template, `OID:major[:minor]`."""
    challenge_password: Secret | None = None
    challenge_password_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepMessages:
    """SCEP material of a request (RFC 8894); messages are PEM with label `PKCS7`."""

    tx: str = ""
    """transactionID of the running or last transaction."""
    nonce: bytes = b""
    """senderNonce of the messages below."""
    last_nonce: bytes = b""
    """senderNonce of the messages that were last handed to a helper; equal means used up."""
    req: str = ""
    """PKCSReq or RenewalReq signed with the current key."""
    gic: str = ""
    """CertPoll (GetCertInitial) signed with the current key."""
    req_next: str = ""
    """As `req`, signed with the candidate key."""
    gic_next: str = ""
    """As `gic`, signed with the candidate key."""
    minicert: bytes = b""
    """DER of the self-signed signer certificate of a first request."""
    has_renewal_req: bool = field(default=False, compare=False)
    """Whether `req` is a RenewalReq; not stored."""
    avoids_renewal_req: bool = field(default=False, compare=False)
    """Whether the server refused a RenewalReq, so that PKCSReq is sent instead; not stored."""

    @property
    def is_finished(self) -> bool:
        """Whether the transaction `tx` is over: its messages were dropped."""
        return bool(self.tx) and not (self.req or self.req_next)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command to run before or after saving, and as whom."""

    command: str = ""
    uid: str = ""
    """Decimal user id as text; without it the command is not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """How people want to be told of one request; what is empty is the configuration's affair."""

    method: str = ""
    """A word of `notification_method` in certmonger.conf."""
    destination: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaCertLocations:
    """Where CA certificates are to be stored."""

    root_files: tuple[str, ...] = ()
    other_root_files: tuple[str, ...] = ()
    other_files: tuple[str, ...] = ()
    root_dbs: tuple[str, ...] = ()
    other_root_dbs: tuple[str, ...] = ()
    other_dbs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Whether the certificate that was stored has reached the service it is for."""

    probe: str = ""
    """The TLS service that is to present the certificate, see `parse_probe`; empty when nobody is asked."""
    pre_save_error: str = ""
    """Why the pre-save command failed, again and again, before the certificate was stored nevertheless."""
    error: str = ""
    """What the post-save command or the probe failed with; empty when they did not."""
    failures: int = 0
    """Failures of the two in a row."""
    retry_at: datetime | None = None
    """When both are tried again; None when they need not be."""
    ca_certs_error: str = ""
    """Why the CA's certificates, and they alone, could not be stored; empty when they were."""
    ca_certs_failures: int = 0
    """Failures of that in a row."""
    ca_certs_retry_at: datetime | None = None
    """When it is tried again; None when it need not be."""

    @property
    def has_failed(self) -> bool:
        """Whether somebody should look at it."""
        return bool(self.trouble)

    @property
    def trouble(self) -> str:
        """The most important of the errors; empty when there is none."""
        return self.error or self.pre_save_error or self.ca_certs_error

    @property
    def next_try(self) -> datetime | None:
        """The next time that something is tried again; None for never."""
        return min((moment for moment in (self.retry_at, self.ca_certs_retry_at) if moment is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalAdvice:
    """When the CA wants the certificate renewed (RFC 9773); all None until it was asked."""

    start: datetime | None = None
    end: datetime | None = None
    """The window that the CA told."""
    explanation: str = ""
    """URL of a page about an unusual window."""
    renew_at: datetime | None = None
    """The time within the window that was chosen for this request."""
    ask_at: datetime | None = None
    """When to ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One tracked certificate and everything needed to renew it."""

    id: Nickname
    state: State = State.NEWLY_ADDED
    key: KeyRecord = KeyRecord()
    key_next: KeyRecord = KeyRecord()
    """The candidate key of a running rekey."""
    key_next_marker: str = ""
    """Names the candidate key; empty when no rekey is pending."""
    key_preserve: bool = False
    key_storage: KeyStorage = KeyStorage()
    key_issued_count: int = 0
    cert_storage: CertStorage = CertStorage()
    cert_facts: CertificateFacts = CertificateFacts()
    nss_user: str = ""
    last_need_notify_check: datetime | None = None
    last_need_enroll_check: datetime | None = None
    template: Template = Template()
    csr: str = ""
    """PEM of the last signing request."""
    spkac: str = ""
    """Base64 signed public key and challenge."""
    scep: ScepMessages = ScepMessages()
    autorenew: bool = True
    monitor: bool = True
    ca_name: CaName = NO_CA
    """Empty while no CA was chosen."""
    submitted: datetime | None = None
    """When the last submission ended."""
    ca_cookie: str = ""
    ca_error: str = ""
    cert: str = ""
    """PEM of the last issued or read certificate."""
    cert_chain: tuple[NamedCertificate, ...] = ()
    cert_roots: tuple[NamedCertificate, ...] = ()
    pre_save: Hook = Hook()
    post_save: Hook = Hook()
    ca_certs: CaCertLocations = CaCertLocations()
    notification: Notification = Notification()
    declared_by: str = ""
    """What made the request and owns it, see `certmongerd.busapi.apply`; empty for one that was added by hand."""
    deployment: Deployment = Deployment()
    unknown: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Records of the state file that this release does not know; written back unchanged."""
    attempts: int = 0
    """Consecutive failures of the present undertaking, for back-off."""
    next_attempt: datetime | None = None
    """When the request goes on by itself: the CA is asked again, or a renewal begins. None while it is at work, or
    waits for somebody. Stored while it waits for the CA."""
    is_watching: bool = field(default=False, compare=False)
    """Whether the present delay or effect is about the certificate held, not about the state; not stored."""
    renewal_advice: RenewalAdvice = field(default=RenewalAdvice(), compare=False)
    """Of the CA, about the certificate held; not stored, so that it is asked for at each start."""
    demands: int = 0
    """How often the CA's helper wanted a new key, or SCEP messages it already had, in the present undertaking."""

    @property
    def is_stuck(self) -> bool:
        """Whether the request waits for somebody."""
        is_undeployed = self.state is State.MONITORING and self.deployment.has_failed
        return self.state in STUCK_STATES or is_undeployed

    @property
    def signing_key(self) -> KeyRecord:
        """The key the next signing request is made with."""
        return self.key_next if self.key_next_marker else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """One certificate authority and what it told about itself."""

    id: CaName
    aka: str = ""
    issuer_names: tuple[str, ...] = ()
    is_default: bool = False
    type: CaType = CaType.EXTERNAL
    internal_serial: str = ""
    """Next serial of an internal CA: hexadecimal, at least two digits."""
    internal_issue_time: int | None = None
    external_helper: str = ""
    """Command line of the helper."""
    root_certs: tuple[NamedCertificate, ...] = ()
    other_root_certs: tuple[NamedCertificate, ...] = ()
    other_certs: tuple[NamedCertificate, ...] = ()
    certs_to_save: bool = False
    """Whether the certificates above are newer than the files that want them."""
    required_enroll_attributes: tuple[str, ...] = ()
    """D-Bus property names, for example `template-subject`."""
    required_renewal_attributes: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    default_profile: str = ""
    pre_save: Hook = Hook()
    post_save: Hook = Hook()
    ca_certs: CaCertLocations = CaCertLocations()
    capabilities: tuple[str, ...] = ()
    """SCEP capability words as the server spelled them."""
    scep_cipher: str = ""
    scep_digest: str = ""
    scep_ca_identifier: str = ""
    encryption_cert: str = ""
    """PEM of the SCEP RA certificate."""
    encryption_issuer_cert: str = ""
    """PEM of the SCEP CA certificate; empty when the server returned only one."""
    encryption_cert_pool: str = ""
    """PEM of further SCEP certificates."""
    offers_renewal_info: bool = False
    """Whether it tells when certificates are to be renewed (RFC 9773); not stored."""
    error: str = ""
    """Last trouble with the CA's own data; not stored."""
    deployment_error: str = ""
    """Why its certificates, as they are now, are not where they are wanted: saving them failed, or one of the commands
    around that; not stored."""
    declared_by: str = ""
    """As for requests."""
    unknown: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def trouble(self) -> str:
        """All that is wrong, for people."""
        return "; ".join(filter(None, (self.error, self.deployment_error)))
