"""Command line options: one table for all commands, and a parser for any selection from it.

The rules are those of certmonger's getcert: options and other arguments may be mixed, `--` ends the options, short
options can be bundled (`-sv`), an argument may be attached (`-fFILE`, `-f=FILE`, `--certfile=FILE`), and long options
cannot be abbreviated.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from getcert.errors import UsageError


class Kind(Enum):
    """What an option takes."""

    FLAG = "flag"
    TEXT = "text"
    NUMBER = "number"
    """A C int in C notation: decimal, 0x… or octal with a leading 0; an empty argument is 0."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    short: str
    """One letter, or empty."""
    long: str
    kind: Kind
    metavar: str
    """What the help calls the argument; empty for flags."""
    help: str
    choices: tuple[str, ...] = ()
    """All arguments that are allowed; empty when there is no such list."""


def _flag(short: str, long: str, text: str) -> Option:
    return Option(short, long, Kind.FLAG, "", text)


def _text(short: str, long: str, metavar: str, text: str) -> Option:
    return Option(short, long, Kind.TEXT, metavar, text)


def _choice(long: str, metavar: str, choices: tuple[str, ...], text: str) -> Option:
    return Option("", long, Kind.TEXT, metavar, text, choices)


def _number(short: str, long: str, metavar: str, text: str) -> Option:
    return Option(short, long, Kind.NUMBER, metavar, text)


OPTIONS: Final[Mapping[str, Option]] = {
    # Where the certificate is, or which request is meant.
    "id": _text("i", "id", "NAME", "the request with this nickname"),
    "assigned_id": _text("I", "id", "NAME", "nickname for the request (default: one is made up)"),
    "new_id": _text("I", "new-id", "NAME", "new nickname for the request"),
    "certfile": _text("f", "certfile", "FILE", "file of the certificate (PEM)"),
    "keyfile": _text("k", "keyfile", "FILE", "file of the private key (PEM), or pkcs11: URI of a key in a token"),
    "dbdir": _text("d", "dbdir", "DIR", "NSS database of certificate and key"),
    "nickname": _text("n", "nickname", "NAME", "name inside the NSS database (with -d)"),
    "token": _text("t", "token", "NAME", "token of the NSS database (with -d)"),
    "listed_token": _text("", "token", "NAME", "only entries on this token of an NSS database"),
    # Access to key and certificate.
    "pinfile": _text("p", "pinfile", "FILE", "file whose first line is the PIN of the private key, or credential:NAME"),
    "pin": _text("P", "pin", "PIN", "PIN of the private key; others may see it in the list of processes"),
    "key_owner": _text("o", "key-owner", "USER[:GROUP]", "owner of the key file"),
    "key_perms": _text("m", "key-perms", "MODE", "mode of the key file, octal"),
    "cert_owner": _text("O", "cert-owner", "USER[:GROUP]", "owner of the certificate file"),
    "cert_perms": _text("M", "cert-perms", "MODE", "mode of the certificate file, octal"),
    "nss_user": _text("Z", "nss-user", "USER[:GROUP]", "user who saves into the NSS database"),
    "ca_dbdir": _text("a", "ca-dbdir", "DIR", "NSS database that receives the CA's certificates; may be repeated"),
    "ca_file": _text("F", "ca-file", "FILE", "file that receives the CA's certificates; may be repeated"),
    "other_root_file": _text("", "other-root-file", "FILE", "file for the CA's further roots; may be repeated"),
    "chain_file": _text("", "chain-file", "FILE", "file for certificates below the roots; may be repeated"),
    "other_root_dbdir": _text("", "other-root-dbdir", "DIR", "NSS database for those roots; may be repeated"),
    "chain_dbdir": _text("", "chain-dbdir", "DIR", "NSS database for these; may be repeated"),
    "before_command": _text("B", "before-command", "COMMAND", "run this before each saving of the certificate"),
    "after_command": _text("C", "after-command", "COMMAND", "run this after each saving of the certificate"),
    "notification_method": _text("", "notification-method", "METHOD", "syslog, mail, command, stdout or none"),
    "notification_destination": _text("", "notification-destination", "WHERE", "priority, addresses or command for it"),
    "probe": _text(
        "", "probe", "SERVICE", "who is to present the certificate after it was saved: HOST:PORT, smtp://HOST, …"
    ),
    # Key and renewal.
    "key_type": _text("G", "key-type", "TYPE", "type of a key that has to be made"),
    "key_size": _text("g", "key-size", "BITS", "size of a key that has to be made"),
    "renew": _flag("r", "renew", "renew the certificate in time (default)"),
    "no_renew": _flag("R", "no-renew", "let the certificate expire"),
    # How the CA is asked.
    "ca": _text("c", "ca", "NAME", "the CA to use"),
    "profile": _text("T", "profile", "NAME", "profile, template or certificate type of the CA"),
    "ms_template": _text("", "ms-template-spec", "OID:MAJOR[:MINOR]", "Microsoft V2 template extension"),
    "issuer": _text("X", "issuer", "NAME", "issuer the CA should use"),
    # What is asked for.
    "subject": _text("N", "subject-name", "SUBJECT", "subject name (default: CN=<name of this host>)"),
    "key_usage": _text("u", "key-usage", "NAME", "key usage; may be repeated"),
    "extended_key_usage": _text("U", "extended-key-usage", "NAME|OID", "extended key usage; may be repeated"),
    "principal": _text("K", "principal", "NAME", "Kerberos principal name; may be repeated"),
    "dns": _text("D", "dns", "NAME", "DNS name; may be repeated"),
    "email": _text("E", "email", "ADDRESS", "e-mail address; may be repeated"),
    "ip_address": _text("A", "ip-address", "ADDRESS", "IP address; may be repeated"),
    "challenge_password_file": _text(
        "l", "challenge-password-file", "FILE", "file whose first line is the challenge password, or credential:NAME"
    ),
    "challenge_password": _text("L", "challenge-password", "TEXT", "challenge password"),
    "for_ca": _flag("", "for-ca", "ask for a CA certificate"),
    "not_for_ca": _flag("", "not-for-ca", "ask for an end-entity certificate (default)"),
    "ca_path_length": _number("", "ca-path-length", "NUMBER", "most CAs below this one (with --for-ca)"),
    "serial": _text("", "serial", "HEX", "serial number of the certificate (default: the one held)"),
    # Waiting.
    "wait": _flag("w", "wait", "wait until the certificate is there or cannot be had"),
    "wait_timeout": _number("", "wait-timeout", "SECONDS", "wait no longer than this"),
    "watch_timeout": _number("", "timeout", "SECONDS", "end after this time"),
    # Listing and refreshing.
    "requests_only": _flag("r", "requests-only", "only what has no certificate yet or is being renewed"),
    "tracking_only": _flag("t", "tracking-only", "only what has its certificate"),
    "utc": _flag("u", "utc", "show times in UTC"),
    "all": _flag("a", "all", "everything"),
    "output": _choice("output", "FORMAT", ("json", "yaml"), "a document for programs: json or yaml"),
    "table": _flag("", "table", "a compact table with the days left"),
    "sort": _choice(
        "sort", "ORDER", ("added", "id", "expires", "status"), "order: added (default), id, expires, status"
    ),
    # Simulating.
    "until": _text("", "until", "DATE", "end of the simulation: a date, or a length of time like 10y (default: 1y)"),
    "ca_down": _text("", "ca-down", "[CA=]FROM..TO", "assume a CA, or all, cannot be reached then; may be repeated"),
    "ca_delay": _text("", "ca-delay", "LENGTH", "assume CAs take so long to decide, for example 3d"),
    "lifetime": _text("", "lifetime", "LENGTH", "assume new certificates live so long (default: as the present ones)"),
    # CAs.
    "command": _text("e", "command", "COMMAND", "helper program and its arguments"),
    "url": _text("u", "url", "URL", "address of the SCEP server"),
    "acme_url": _text("u", "url", "URL", "address of the ACME server's directory"),
    "roots_file": _text("", "roots", "FILE", "root certificates of the CA, for whoever wants them stored (-F)"),
    "preferred_chain": _text("", "preferred-chain", "NAME", "common name of the root that the chain should lead to"),
    "agree_tos": _flag("", "agree-tos", "agree to the CA's terms of service"),
    "contact": _text("", "contact", "ADDRESS", "e-mail address or URL that the CA may write to; may be repeated"),
    "eab_kid": _text("", "eab-kid", "ID", "identifier of an account that the CA keeps elsewhere"),
    "eab_key_file": _text("", "eab-key-file", "FILE", "file with the MAC key of that account"),
    "webroot": _text("", "webroot", "DIR", "root directory of the web server that runs on port 80 already"),
    "http_listen": _text("", "http-listen", "[ADDRESS:]PORT", "where the helper listens by itself (default: port 80)"),
    "dns_hook": _text("", "dns-hook", "COMMAND", "program that is run as COMMAND present|cleanup NAME VALUE"),
    "dns_update": _text("", "dns-update", "ADDRESS[:PORT]", "DNS server that takes dynamic updates"),
    "dns_key_file": _text("", "dns-key-file", "FILE", "TSIG key for these updates, as tsig-keygen writes it"),
    "dns_zone": _text("", "dns-zone", "ZONE", "zone to update (default: the server is asked)"),
    "dns_wait": _text("", "dns-wait", "SECONDS", "time until a record is published everywhere (default: 0)"),
    "est_url": _text("u", "url", "URL", "the EST server, https://HOST[:PORT], or the whole address"),
    "est_label": _text("", "label", "NAME", "which CA of the EST server"),
    "root_fingerprint": _text("", "root-fingerprint", "SHA256", "of the CA certificate, which the server then sends"),
    "login_user": _text("", "user", "NAME", "user name for HTTP authentication"),
    "login_password_file": _text("", "password-file", "FILE", "file whose first line is the password"),
    "tls_certificate": _text("", "certificate", "FILE", "certificate that the server is shown (PEM)"),
    "tls_key": _text("", "key", "FILE", "its key (default: in the same file)"),
    "renewal_keys": _text("", "renewal-keys", "PLACE", "folder or file of keys, to show the certificate to be renewed"),
    "tls_key_password_file": _text("", "key-password-file", "FILE", "file whose first line is the keys' password"),
    "ca_identifier": _text("i", "id", "IDENTIFIER", "which CA of the SCEP server"),
    "tls_ca_cert": _text("R", "ca-cert", "FILE", "certificates to check an https server with"),
    "ra_cert": _text("r", "ra-cert", "FILE", "certificate of the SCEP server's RA"),
    "signing_ca": _text("N", "signingca", "FILE", "certificate of the SCEP server's CA"),
    "other_certs": _text("I", "other-certs", "FILE", "certificates between RA and root"),
    "system_trust": _flag("", "system-trust", "check an https server with this host's own certificate store"),
    "scep_cipher": _text("", "scep-cipher", "NAME", "content encryption of requests (default: the server's best)"),
    "scep_digest": _text("", "scep-digest", "NAME", "digest of requests (default: the server's best)"),
    "scep_identifier": _text("", "scep-ca-identifier", "IDENTIFIER", "which CA of the SCEP server"),
    "force": _flag("", "force", "although requests use it"),
    "non_renewal": _flag("n", "non-renewal", "do not use the server's Renewal capability"),
    # Declarations.
    "document": _text("f", "file", "FILE", "YAML file that declares CAs and requests; - is standard input"),
    "dry_run": _flag("", "dry-run", "say what would be done, and do nothing"),
    "prune": _flag("", "prune", "remove what FILE declared when it was applied before, and does no longer"),
    # All commands.
    "session": _flag("s", "session", "use the session bus"),
    "system": _flag("S", "system", "use the system bus (default)"),
    "verbose": _flag("v", "verbose", "tell more"),
}
"""Rows by the name the program uses. The same letter may stand for different things in different commands."""

COMMON: Final = ("session", "system", "verbose")
"""Rows that every command has."""

OPTION_LISTING = "-H"
"""The undocumented option that lists a command's options; the exit status is that of a mistake."""

_C_INT: Final = re.compile(r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))?")
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1


class OptionListingRequested(Exception):
    """The undocumented -H was given."""


@dataclass(frozen=True, slots=True)
class ParsedOptions:
    """What the command line said."""

    occurrences: tuple[tuple[str, str], ...] = ()
    """Name and argument in the order given; the argument of a flag is empty."""
    arguments: tuple[str, ...] = ()
    """What is not an option."""

    def texts(self, name: str) -> tuple[str, ...]:
        """All arguments of a repeatable option."""
        return tuple(value for given, value in self.occurrences if given == name)

    def text(self, name: str) -> str | None:
        """The last argument of an option, None when it was not given."""
        found = self.texts(name)
        return found[-1] if found else None

    def number(self, name: str) -> int | None:
        """Like `text`, for options of kind NUMBER."""
        found = self.text(name)
        return None if found is None else parse_number(found)

    def given(self, name: str) -> bool:
        """Whether the option occurs at all."""
        return any(given == name for given, _ in self.occurrences)

    def last_of(self, *names: str) -> str | None:
        """The one of several exclusive flags that was given last."""
        found = [given for given, _ in self.occurrences if given in names]
        return found[-1] if found else None


def parse_number(text: str) -> int:
    """A C int written as in C. Raises UsageError."""
    number = _C_INT.fullmatch(text)
    if number is None:
        raise UsageError("invalid numeric value")
    sign, hexadecimal, octal, decimal = number.groups()
    value = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal or "0")
    value = -value if sign == "-" else value
    if not _INT_MIN <= value <= _INT_MAX:
        raise UsageError("number too large or too small")
    return value


class _Parser:
    """One pass over an argument list."""

    def __init__(self, names: Iterable[str], arguments: Sequence[str]) -> None:
        rows = [(name, OPTIONS[name]) for name in names]
        self._short = {row.short: (name, row) for name, row in reversed(rows) if row.short}
        self._long = {row.long: (name, row) for name, row in reversed(rows)}
        self._rest = list(reversed(arguments))
        self._occurrences: list[tuple[str, str]] = []
        self._arguments: list[str] = []

    def parse(self) -> ParsedOptions:
        while self._rest:
            word = self._rest.pop()
            if word == "--":
                self._arguments.extend(reversed(self._rest))
                break
            if word.startswith("--"):
                self._take_long(word)
            elif word.startswith("-") and len(word) > 1:
                self._take_short(word)
            else:
                self._arguments.append(word)
        return ParsedOptions(tuple(self._occurrences), tuple(self._arguments))

    def _take_long(self, word: str) -> None:
        long, equals, attached = word[2:].partition("=")
        found = self._long.get(long)
        if found is None:
            raise UsageError(f"unrecognized option {word}")
        name, row = found
        if row.kind is Kind.FLAG:
            if equals:
                raise UsageError("option does not take an argument")
            self._occurrences.append((name, ""))
        else:
            self._store(name, row, attached if equals else self._argument(word))

    def _take_short(self, word: str) -> None:
        for position, letter in enumerate(word[1:], start=2):
            if letter == OPTION_LISTING[1]:
                raise OptionListingRequested
            found = self._short.get(letter)
            if found is None:
                raise UsageError(f"unrecognized option {word}")
            name, row = found
            if row.kind is not Kind.FLAG:
                attached = word[position:].removeprefix("=")
                self._store(name, row, attached if word[position:] else self._argument(word))
                return
            self._occurrences.append((name, ""))

    def _argument(self, word: str) -> str:
        if not self._rest:
            raise UsageError(f"missing argument for {word}")
        return self._rest.pop()

    def _store(self, name: str, row: Option, value: str) -> None:
        if row.kind is Kind.NUMBER:
            parse_number(value)
        if row.choices and value not in row.choices:
            raise UsageError(f"--{row.long} takes one of: {', '.join(row.choices)}.")
        self._occurrences.append((name, value))


def parse_options(names: Iterable[str], arguments: Sequence[str]) -> ParsedOptions:
    """Read *arguments* with the table's rows *names*; of two rows with the same letter the first counts.

    Raises UsageError and OptionListingRequested.
    """
    return _Parser(names, arguments).parse()
