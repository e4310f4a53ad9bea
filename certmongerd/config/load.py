"""Reads certmonger.conf. Whatever is wrong with it is reported with its line, and the default is used."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certmongerd.config.durations import Duration, parse_duration, parse_durations
from certmongerd.config.files import MAXIMUM_SIZE, read_regular_file
from certmongerd.config.settings import (
    MailSettings,
    MailTls,
    NotificationMethod,
    ProgramLauncher,
    Settings,
    notification_method,
)
from certmongerd.config.syslog_priority import unknown_words
from certmongerd.core.credential import is_place_of_secret
from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import MINIMUM_RSA_BITS, KeyAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """Something in the configuration that has no effect, or not the intended one."""

    path: Path
    line: int
    """Counted from 1; 0 when it concerns the whole file."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}" if self.line else f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """The settings that hold, and what was wrong."""

    settings: Settings
    problems: tuple[ConfigProblem, ...] = ()


def load_settings(path: Path, present: Settings | None = None) -> LoadedSettings:
    """The settings of the file at *path*; a missing file means defaults. Never raises for its content.

    *present* are the settings to keep when the file cannot be read; without them the defaults hold then.
    """
    try:
        data = read_regular_file(path)
    except FileNotFoundError:
        return LoadedSettings(settings=Settings())
    except OSError as exc:
        what = "defaults are used" if present is None else "the settings stay as they are"
        problem = ConfigProblem(path=path, line=0, reason=f"cannot be read, {what}: {exc.strerror}")
        return LoadedSettings(settings=present or Settings(), problems=(problem,))
    settings, problems = parse_settings(data[:MAXIMUM_SIZE].decode("utf-8", "replace"))
    if len(data) > MAXIMUM_SIZE:
        problems = ((0, f"is longer than {MAXIMUM_SIZE} bytes; the rest is not read"), *problems)
    return LoadedSettings(
        settings=settings,
        problems=tuple(ConfigProblem(path=path, line=line, reason=reason) for line, reason in problems),
    )


def parse_settings(text: str) -> tuple[Settings, tuple[tuple[int, str], ...]]:
    """The settings of *text*, and problems with their line numbers, in order of lines."""
    found, problems = _entries(text)
    values: dict[str, object] = {}
    for place, (name, read) in _KEYS.items():
        if place in found:
            line, value = found[place]
            try:
                values[name] = read(value)
            except _PartlyUsable as exc:
                values[name] = exc.value
                problems.append((line, f"{place[1]}: {exc.reason}"))
            except InvalidValue as exc:
                problems.append((line, f"{place[1]}: {exc}; the default is used"))
    _share_ttls(found, values, problems)
    problems += _unfitting_destination(found, values)
    if "local_validity" not in values and "selfsign_validity" in values:
        values["local_validity"] = values["selfsign_validity"]
    build: Callable[..., Settings] = Settings
    build_mail: Callable[..., MailSettings] = MailSettings
    mail = {name: values.pop(name) for name in _MAIL_FIELDS & values.keys()}
    return build(**values, mail=build_mail(**mail)), tuple(sorted(problems))


_Place = tuple[str, str]
_Entries = dict[_Place, tuple[int, str]]
_Problems = list[tuple[int, str]]


def _entries(text: str) -> tuple[_Entries, _Problems]:
    """The first value of every known key, by section and key, with its line."""
    found: _Entries = {}
    problems: _Problems = []
    sections: set[str] = set()
    section: str | None = None
    is_read = False
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section, is_read = line[1:].partition("]")[0], True
            if section not in _SECTIONS:
                problems.append((number, f"[{section}] is not a section that is known"))
                is_read = False
            elif section in sections:
                problems.append((number, f"[{section}] is there already; its second occurrence has no effect"))
                is_read = False
            sections.add(section)
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if section is None:
            problems.append((number, "is outside of any section and has no effect"))
        elif is_read and (not separator or not key):
            problems.append((number, "is not of the form key = value"))
        elif is_read and (section, key) not in _KEYS and (section, key) != _TTLS:
            problems.append((number, f"{key} is not a key that is known in [{section}]"))
        elif is_read and found.setdefault((section, key), (number, value))[0] != number:
            problems.append((number, f"{key} is there already; its second occurrence has no effect"))
    return found, problems


class _PartlyUsable(Exception):
    """A value of which a part is used."""

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


def _text(text: str) -> str:
    return text


def _duration(text: str) -> Duration:
    first, *rest = text.split() or [""]
    duration = parse_duration(first)
    if rest:
        raise _PartlyUsable(duration, f'"{" ".join(rest)}" after the duration is ignored')
    return duration


def _durations(text: str) -> tuple[Duration, ...]:
    durations, unusable = parse_durations(text)
    if unusable:
        quoted = ", ".join(f'"{element}"' for element in unusable)
        raise _PartlyUsable(durations, f"{quoted} cannot be understood and is left out")
    return durations


_WORDS: Final = {"yes": True, "y": True, "true": True, "t": True, "1": True} | dict.fromkeys(
    ("no", "n", "false", "f", "0"), False
)


def _word(choices: Mapping[str, object]) -> Callable[[str], object]:
    """Looks a word up, without regard to case."""

    def read(text: str) -> object:
        try:
            return choices[text.lower()]
        except KeyError:
            raise InvalidValue("word", f'"{text}" is not one of {", ".join(choices)}') from None

    return read


def _number(lowest: int, highest: int) -> Callable[[str], object]:
    def read(text: str) -> object:
        if re.fullmatch(r"[0-9]{1,9}", text) is None or not lowest <= int(text) <= highest:
            raise InvalidValue("number", f'"{text}" is not a number from {lowest} to {highest}')
        return int(text)

    return read


def _seconds(text: str) -> object:
    duration = _duration(text)
    if duration.years or duration.months or not duration.seconds:
        raise InvalidValue("duration", f'"{text}" is not a time limit like 90s or 10m')
    return float(duration.seconds)


_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?")
_SMTP_PORT: Final = 25


def _server(text: str) -> tuple[str, int]:
    match = _SERVER.fullmatch(text)
    port = int(match[2] or _SMTP_PORT) if match else 0
    if match is None or not 0 < port < 1 << 16:
        raise InvalidValue("server", f'"{text}" is not a server like mail.example.org or [::1]:587')
    return match[1].strip("[]"), port


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise InvalidValue("path", f'"{text}" is not an absolute path')
    return text


def _place_of_secret(text: str) -> str:
    if not is_place_of_secret(text):
        raise InvalidValue("path", f'"{text}" is neither an absolute path nor credential:NAME')
    return text


_DIGESTS: Final = ("sha1", "sha256", "sha384", "sha512", "md5")
_CIPHERS: Final = {"aes": "aes128", "aes128": "aes128", "aes-128": "aes128", "aes256": "aes256", "aes-256": "aes256"}
_TRUST: Final = re.compile(r"[pPcCTuUgGwW]*(?:,[pPcCTuUgGwW]*){2}")


def _trust(text: str) -> str:
    """Trust flags as certutil(1) takes them: three lists of letters for TLS, mail and code signing."""
    if _TRUST.fullmatch(text) is None:
        raise InvalidValue("trust", f'"{text}" is not of the form CT,C,C')
    return text


_KEY_TYPES: Final = {item.value.lower(): item for item in KeyAlgorithm} | {"ecdsa": KeyAlgorithm.EC}
_CA_KEY_TYPES: Final = {"rsa": KeyAlgorithm.RSA} | dict.fromkeys(("ec", "ecdsa"), KeyAlgorithm.EC)
_RSA_BITS: Final = _number(MINIMUM_RSA_BITS, 16384)
_EC_BITS: Final = _word({"256": 256, "384": 384, "521": 521})

_TTLS: Final = ("defaults", "ttls")
_KEYS: Final[Mapping[_Place, tuple[str, Callable[[str], object]]]] = {
    ("defaults", "notify_ttls"): ("notify_ttls", _durations),
    ("defaults", "enroll_ttls"): ("enroll_ttls", _durations),
    ("defaults", "notification_method"): ("notification_method", notification_method),
    ("defaults", "notification_destination"): ("notification_destination", _text),
    ("defaults", "default_ca"): ("default_ca", _text),
    ("defaults", "key_type"): ("key_type", _word(_KEY_TYPES)),
    ("defaults", "rsa_key_size"): ("rsa_key_size", _RSA_BITS),
    ("defaults", "ec_key_size"): ("ec_key_size", _EC_BITS),
    ("defaults", "symmetric_cipher"): ("symmetric_cipher", _word(_CIPHERS | {"des3": "des3"})),
    ("defaults", "digest"): (
        "digest",
        _word({d: d for d in _DIGESTS} | {f"{d[:-3]}-{d[-3:]}": d for d in _DIGESTS[1:4]} | {"sha-1": "sha1"}),
    ),
    ("defaults", "nss_ca_trust"): ("nss_ca_trust", _trust),
    ("defaults", "nss_other_trust"): ("nss_other_trust", _trust),
    ("defaults", "max_key_use_count"): ("max_key_use_count", _number(0, 10**9)),
    ("defaults", "max_key_lifetime"): ("max_key_lifetime", _duration),
    ("mail", "from"): ("sender", _text),
    ("mail", "sendmail"): ("sendmail", _absolute),
    ("mail", "smtp_server"): ("smtp_server", _server),
    ("mail", "smtp_tls"): ("smtp_tls", _word({tls.value: tls for tls in MailTls})),
    ("mail", "smtp_ca_file"): ("smtp_ca_file", _absolute),
    ("mail", "smtp_user"): ("smtp_user", _text),
    ("mail", "smtp_password_file"): ("smtp_password_file", _place_of_secret),
    ("helpers", "submit_timeout"): ("submit_timeout_s", _seconds),
    ("helpers", "ca_data_timeout"): ("ca_data_timeout_s", _seconds),
    ("helpers", "hook_timeout"): ("hook_timeout_s", _seconds),
    ("helpers", "max_simultaneous"): ("max_helpers", _number(1, 1000)),
    ("helpers", "launcher"): ("program_launcher", _word({item.value: item for item in ProgramLauncher})),
    ("renewal", "spread"): ("spread", _word(_WORDS)),
    ("selfsign", "validity_period"): ("selfsign_validity", _duration),
    ("selfsign", "populate_unique_id"): ("selfsign_populate_unique_id", _word(_WORDS)),
    ("local", "validity_period"): ("local_validity", _duration),
    ("local", "ca_validity_period"): ("local_ca_validity", _duration),
    ("local", "key_type"): ("local_key_type", _word(_CA_KEY_TYPES)),
    ("local", "rsa_key_size"): ("local_rsa_key_size", _RSA_BITS),
    ("local", "ec_key_size"): ("local_ec_key_size", _EC_BITS),
    ("access", "reader_group"): ("reader_group", _text),
    ("scep", "challenge_password_otp"): ("challenge_password_otp", _word(_WORDS)),
    ("declarations", "prune"): ("prune_declared", _word(_WORDS)),
}
"""Section and key of the file; field of Settings and how its text is read."""

_MAIL_FIELDS: Final = frozenset(name for (section, _), (name, _) in _KEYS.items() if section == "mail")
_SECTIONS: Final = frozenset(section for section, _ in _KEYS)


def _share_ttls(found: _Entries, values: dict[str, object], problems: _Problems) -> None:
    """Use `ttls` for whichever of the two lists has no key of its own."""
    if _TTLS not in found:
        return
    line, text = found[_TTLS]
    durations, unusable = parse_durations(text)
    if unusable:
        problems.append((line, f"ttls: cannot understand {', '.join(unusable)}"))
    for name in ("notify_ttls", "enroll_ttls"):
        if ("defaults", name) not in found:
            values[name] = durations


def _unfitting_destination(found: _Entries, values: dict[str, object]) -> _Problems:
    """What method and destination of notifications make impossible together."""
    method = values.get("notification_method", NotificationMethod.SYSLOG)
    line, destination = found.get(("defaults", "notification_destination"), (0, ""))
    match method:
        case NotificationMethod.SYSLOG:
            unknown = unknown_words(destination)
            if unknown:
                quoted = ", ".join(f'"{word}"' for word in unknown)
                return [(line, f"notification_destination: {quoted} is neither a facility nor a level of syslog")]
        case NotificationMethod.MAIL | NotificationMethod.COMMAND if not destination:
            values["notification_destination"] = ""  # the default is for syslog
            line = line or found[("defaults", "notification_method")][0]
            return [(line, f"notification_destination: is needed for notification_method = {method}")]
        case NotificationMethod.MAIL if destination.startswith("-") or not destination.isprintable():
            return [(line, f'notification_destination: "{destination}" is not a mail address')]
    return []
