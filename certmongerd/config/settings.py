"""The settings of certmonger.conf, typed, with their defaults."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from certmongerd.config.durations import Duration
from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import DEFAULT_RSA_BITS, FIXED_KEY_SIZES, KeyAlgorithm

DEFAULT_EC_BITS: Final = 256
_LARGEST_EC_BITS: Final = 521

DEFAULT_TTLS: Final = tuple(
    Duration(seconds=seconds) for seconds in (2419200, 604800, 259200, 172800, 86400, 43200, 21600, 7200, 3600)
)
"""Remaining lives of a certificate: 28, 7, 3, 2 and 1 days, 12, 6, 2 and 1 hours."""

_ONE_YEAR: Final = Duration(years=1)


class NotificationMethod(StrEnum):
    """How people are told."""

    SYSLOG = "syslog"
    MAIL = "mail"
    COMMAND = "command"
    STDOUT = "stdout"
    NONE = "none"


_OTHER_WORDS: Final = {"email": NotificationMethod.MAIL, "mailto": NotificationMethod.MAIL}


def notification_method(word: str) -> NotificationMethod:
    """The method that *word* stands for, without regard to case. Raises InvalidValue."""
    known = {method.value: method for method in NotificationMethod} | _OTHER_WORDS
    try:
        return known[word.lower()]
    except KeyError:
        raise InvalidValue("notification method", f'"{word}" is not one of {", ".join(known)}') from None


class ProgramLauncher(StrEnum):
    """Who starts hooks, notification commands and other people's helpers."""

    AUTO = "auto"
    """systemd when the daemon is one of its system services, else the daemon."""
    DIRECT = "direct"
    SYSTEMD_RUN = "systemd-run"


class MailTls(StrEnum):
    """How a connection to an SMTP server is protected."""

    NO = "no"
    STARTTLS = "starttls"
    TLS = "tls"


_TLS_OF_PORT: Final = {465: MailTls.TLS, 587: MailTls.STARTTLS}


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """How mail leaves this host; not known to certmonger."""

    sender: str = ""
    """Address it comes from; empty leaves that to the program that sends it."""
    sendmail: str = "/usr/sbin/sendmail"
    """Program that takes a message on standard input; used unless there is an SMTP server."""
    smtp_server: tuple[str, int] | None = None
    """Name or address of an SMTP server, and its port; None means to use the program."""
    smtp_tls: MailTls | None = None
    """None means what the port is for: TLS on 465, STARTTLS on 587, nothing on others."""
    smtp_ca_file: str = ""
    """PEM certificates to check the server with; empty means those of the host."""
    smtp_user: str = ""
    smtp_password_file: str = ""
    """Its first line is the password of the user."""

    @property
    def tls(self) -> MailTls:
        """How the connection is protected."""
        port = self.smtp_server[1] if self.smtp_server is not None else 0
        return self.smtp_tls or _TLS_OF_PORT.get(port, MailTls.NO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured; names are those of certmonger.conf."""

    notify_ttls: tuple[Duration, ...] = DEFAULT_TTLS
    """Remaining lives at which people are told of an expiring certificate."""
    enroll_ttls: tuple[Duration, ...] = DEFAULT_TTLS
    """Remaining lives at which a renewal is attempted."""
    notification_method: NotificationMethod = NotificationMethod.SYSLOG
    notification_destination: str = "daemon.notice"
    """Syslog facility and level, mail address, or command."""
    mail: MailSettings = MailSettings()
    default_ca: str = ""
    """CA for requests that name none, after CAs marked as default; empty when there is none."""
    key_type: KeyAlgorithm = KeyAlgorithm.RSA
    """Algorithm of new keys for requests that ask for none."""
    rsa_key_size: int = DEFAULT_RSA_BITS
    ec_key_size: int | None = None
    """Not known to certmonger; None means 256 when `key_type` is EC, and for requests that ask for EC themselves what
    certmonger makes then, 521."""
    symmetric_cipher: str = "aes128"
    """Encryption of key files: `aes128`, `aes256` or `des3`."""
    digest: str = "sha256"
    """For signing requests and self-signed certificates: `sha1`, `sha256`, `sha384`, `sha512` or `md5`."""
    nss_ca_trust: str = "CT,C,C"
    nss_other_trust: str = ",,"
    max_key_use_count: int = 0
    """Certificates per key before automatic renewal makes a new key; 0 means no limit."""
    max_key_lifetime: Duration | None = None
    """Age of a key from which automatic renewal makes a new one; None means no limit."""
    submit_timeout_s: float = 600.0
    """Longest run of a helper for one submission. This and the following are not known to certmonger."""
    ca_data_timeout_s: float = 300.0
    """Longest run of a helper that tells about its CA."""
    hook_timeout_s: float = 300.0
    """Longest run of a pre-save or post-save command."""
    max_helpers: int = 64
    """Helpers that may run at the same time."""
    program_launcher: ProgramLauncher = ProgramLauncher.AUTO
    """Who starts what is not a helper of this project."""
    spread: bool = True
    """Whether renewals and retries that could come at the same moment are spread over time."""
    selfsign_validity: Duration = _ONE_YEAR
    selfsign_populate_unique_id: bool = False
    """Whether self-signed certificates get issuer and subject unique identifiers."""
    local_validity: Duration = _ONE_YEAR
    """Life of the certificates that the local CA issues."""
    local_ca_validity: Duration | None = None
    """Life of the local CA's own certificates; None: as `local_validity`, which is certmonger's rule. This and
    the following are not known to certmonger."""
    local_key_type: KeyAlgorithm = KeyAlgorithm.RSA
    """Algorithm of the local CA's next key."""
    local_rsa_key_size: int = DEFAULT_RSA_BITS
    local_ec_key_size: int = DEFAULT_EC_BITS
    challenge_password_otp: bool = False
    """Whether a SCEP challenge password is dropped after the first certificate."""
    prune_declared: bool = False
    """Whether what a drop-in declared is removed when none declares it any more. Not known to certmonger."""

    reader_group: str = ""
    """Group whose members may read over the bus; empty for nobody but root."""

    def key_size(self, asked: KeyAlgorithm | None) -> int:
        """Bits of new keys for a request that asks for the algorithm *asked*, or for none, but not for a size."""
        match asked or self.key_type:
            case KeyAlgorithm.EC:
                return self.ec_key_size or (DEFAULT_EC_BITS if asked is None else _LARGEST_EC_BITS)
            case KeyAlgorithm.RSA:
                return self.rsa_key_size
            case algorithm:
                return FIXED_KEY_SIZES[algorithm]
