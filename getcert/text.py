"""Text output of `list`, `list-cas` and `status`: lines that scripts read."""

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from typing import Final

from certmongerd.api import CA_TYPE_EXTERNAL
from getcert.entries import CaEntry, Properties, RequestEntry
from getcert.names import key_usage_names, object_identifier_name

_PEM: Final = re.compile(r"-----BEGIN [^-]+-----\s*(.*?)-----END ", re.DOTALL)
_WORD_BYTES: Final = 4
_THUMBPRINTS: Final = (("MD5", "md5"), ("SHA1", "sha1"), ("SHA256", "sha256"))
_SAVED_CA_CERTIFICATES: Final = (
    ("root-cert-files", "root certificates saved to files"),
    ("root-other-cert-files", "other root certificates saved to files"),
    ("other-cert-files", "other certificates saved to files"),
    ("root-cert-nssdbs", "root certificates saved to databases"),
    ("root-other-cert-nssdbs", "other root certificates saved to databases"),
    ("other-cert-nssdbs", "other certificates saved to databases"),
)


def yes_or_no(value: object) -> str:
    """How booleans are shown."""
    return "yes" if value else "no"


def status_line(state: str, stuck: object) -> str:
    """The line of `status -v` and of waiting with -v."""
    return f"State {state}, stuck: {yes_or_no(stuck)}."


def time_text(seconds: int, *, utc: object) -> str:
    """A Unix time in the user's zone or in UTC; 0 means that there is none."""
    if not seconds:
        return "unknown"
    if utc:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))


def thumbprint(pem: str, algorithm: str) -> str | None:
    """The digest of what is in a PEM block, in groups of eight digits; None when there is no block."""
    block = _PEM.search(pem)
    if block is None:
        return None
    try:
        der = base64.b64decode(block[1])
    except binascii.Error:
        return None
    return hashlib.new(algorithm, der, usedforsecurity=False).digest().hex(" ", _WORD_BYTES).upper()


def _thumbprint_lines(what: str, pem: str) -> Iterator[str]:
    for name, algorithm in _THUMBPRINTS:
        digest = thumbprint(pem, algorithm)
        if digest is not None:
            yield f"\t{what} thumbprint ({name}): {digest}"


def _storage(properties: Properties, what: str) -> str:
    """Where a key or certificate (*what*: `key`, `cert`) is."""
    kind = properties.text(f"{what}-storage") or "NONE"
    parts = [f"type={kind}"]
    if kind in ("FILE", "PKCS11"):
        parts.append(f"location='{properties.text(f'{what}-file')}'")
    elif kind == "NSSDB":
        parts.append(f"location='{properties.text(f'{what}-database')}'")
        parts.extend(
            f"{name}='{value}'"
            for name in ("nickname", "token")
            if (value := properties.text(f"{what}-{name}")) or name == "nickname"
        )
    return ",".join(parts)


def _key_storage(entry: RequestEntry) -> str:
    properties = entry.properties
    text = _storage(properties, "key")
    if entry.has_key_pin:
        text += ",pin set"
    if properties.text("key-pin-file"):
        text += f",pinfile='{properties.text('key-pin-file')}'"
    return text


def _access(properties: Properties, what: str, label: str) -> Iterator[str]:
    """Owner and mode that a key or certificate file (*what*: `key`, `cert`) is to have, where they were set."""
    yield from _given(f"{label} owner", properties.text(f"{what}-owner"))
    mode = properties.number(f"{what}-perms")
    if mode:
        yield f"\t{label} permissions: {mode:04o}"


def _joined(label: str, values: Iterable[str]) -> Iterator[str]:
    line = ",".join(values)
    if line:
        yield f"\t{label}: {line}"


def _given(label: str, value: str) -> Iterator[str]:
    if value:
        yield f"\t{label}: {value}"


def _saved_ca_certificates(properties: Properties) -> Iterator[str]:
    for name, label in _SAVED_CA_CERTIFICATES:
        places = properties.texts(name)
        if places:
            yield f"\t{label}:"
            yield from (f"\t\t{place}" for place in places)


def _names(properties: Properties) -> Iterator[str]:
    yield from _joined("email", properties.texts("email"))
    yield from _joined("dns", properties.texts("hostname"))
    yield from _joined("principal name", properties.texts("principal"))
    yield from _given("key usage", key_usage_names(properties.text("ku")))
    yield from _joined("eku", map(object_identifier_name, properties.texts("eku")))


def _template(properties: Properties) -> Iterator[str]:
    profile = properties.text("template-profile") or properties.text("ca-profile")
    yield from _given("certificate template/profile", profile)
    yield from _given("profile", profile)
    yield from _given("ms v2 template", properties.text("template-ms-certificate-template"))
    yield from _given("issuer template", properties.text("template-issuer"))


def _next_attempt(entry: RequestEntry, *, utc: object) -> Iterator[str]:
    if entry.next_attempt:
        failed = f" (failed so far: {entry.attempts})" if entry.attempts else ""
        yield f"\tnext attempt: {time_text(entry.next_attempt, utc=utc)}{failed}"


def request_lines(entry: RequestEntry, ca: CaEntry | None, *, utc: object, verbose: object) -> Iterator[str]:
    """What `list` prints about one request.

    *verbose* adds requested IP addresses and the places of CA certificates, which certmonger's `list` leaves out.
    """
    properties = entry.properties
    yield f"Request ID '{entry.nickname}':"
    yield f"\tstatus: {entry.status}"
    yield from _given("ca-error", properties.text("ca-error"))
    yield f"\tstuck: {yes_or_no(entry.is_stuck)}"
    yield from _next_attempt(entry, utc=utc)
    yield f"\tkey pair storage: {_key_storage(entry)}"
    yield from _access(properties, "key", "key")
    yield f"\tcertificate: {_storage(properties, 'cert')}"
    yield from _access(properties, "cert", "certificate")
    if ca is not None:
        if ca.properties.text("scep-ca-cert") or ca.properties.text("scep-ra-cert"):
            yield from _thumbprint_lines("signing request", properties.text("csr"))
        yield f"\tCA: {ca.nickname}"
    yield f"\tissuer: {properties.text('issuer')}"
    yield f"\tsubject: {properties.text('subject')}"
    yield f"\tissued: {time_text(properties.number('not-valid-before'), utc=utc)}"
    yield f"\texpires: {time_text(properties.number('not-valid-after'), utc=utc)}"
    yield from _names(properties)
    yield from _template(properties)
    if verbose:
        yield from _joined("IP address", properties.texts("template-ip-address"))
        yield from _saved_ca_certificates(properties)
    yield f"\tpre-save command: {properties.text('cert-presave-command')}"
    yield f"\tpost-save command: {properties.text('cert-postsave-command')}"
    yield from _given("probe", entry.extended.text("probe"))
    yield f"\ttrack: {yes_or_no(properties.flag('monitoring'))}"
    yield f"\tauto-renew: {yes_or_no(properties.flag('autorenew'))}"


def ca_lines(ca: CaEntry, *, kind: str, serial: str, config_path: str, verbose: object) -> Iterator[str]:
    """What `list-cas` prints about one CA; *kind*, *serial* and *config_path* are no properties of the object."""
    properties = ca.properties
    yield f"CA '{ca.nickname}':"
    if verbose:
        yield from _given("self-identifies as", properties.text("aka"))
    yield f"\tis-default: {yes_or_no(properties.flag('is-default'))}"
    yield f"\tca-type: {kind}"
    if kind == CA_TYPE_EXTERNAL:
        yield f"\thelper-location: {properties.text('external-helper')}"
    else:
        yield from _given("next-serial-number", serial)
    issuers = properties.texts("issuer-names")
    if issuers:
        yield "\tknown-issuer-names:"
        yield from (f"\t\t{issuer}" for issuer in issuers)
    if verbose:
        yield from _verbose_ca_lines(properties)
    yield from _given("default profile/template/certtype", properties.text("default-profile"))
    ra, authority = properties.text("scep-ra-cert"), properties.text("scep-ca-cert")
    yield from _thumbprint_lines("SCEP CA certificate", authority or ra)
    if authority and thumbprint(ra, "sha256") != thumbprint(authority, "sha256"):
        yield from _thumbprint_lines("SCEP RA certificate", ra)
    yield from _given("pre-save command", properties.text("ca-presave-command"))
    yield from _given("post-save command", properties.text("ca-postsave-command"))
    if verbose:
        yield from _given("config-path", config_path)


def _verbose_ca_lines(properties: Properties) -> Iterator[str]:
    yield from _given("ca-error", properties.text("ca-error"))
    yield from _given("SCEP CA identifier", properties.text("scep-ca-identifier"))
    yield from _joined("SCEP capabilities", properties.texts("scep-ca-capabilities"))
    yield from _given("SCEP cipher", properties.text("scep-cipher"))
    yield from _given("SCEP digest", properties.text("scep-digest"))
    profiles = properties.texts("supported-profiles")
    if profiles:
        yield "\tknown profiles/templates/certtypes:"
        yield from (f"\t\t{profile}" for profile in profiles)
    yield from _saved_ca_certificates(properties)
