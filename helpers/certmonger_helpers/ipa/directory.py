"""CA certificates out of an IPA server's LDAP directory, by OpenLDAP's own client with Kerberos.

There all certificates are that IPA hands to its clients: those of its CA, old and new, and others that were installed
beside them. The client is a program, since no maintained Python binding of LDAP with GSSAPI has wheels for Linux.
"""

import base64
import binascii
import logging
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.kerberos.client import Identity
from certmonger_helpers.outcome import Unconfigured, Unreachable

_log = logging.getLogger(__name__)

_PROGRAM: Final = "ldapsearch"
_PACKAGES: Final = "Debian: ldap-utils and libsasl2-modules-gssapi-mit"
_ATTRIBUTE: Final = "cACertificate;binary"
_PLACES: Final = (
    ("cn=certificates,cn=ipa,cn=etc", "(&(cACertificate=*)(!(ipaKeyTrust=distrusted)))"),
    ("cn=CAcert,cn=ipa,cn=etc", "(cACertificate=*)"),
)
"""Where the certificates are, and where old servers have the one that they know; below the base."""
_NO_SUCH_OBJECT: Final = 32
_MOST_ENTRIES: Final = 500
_CONNECT_S: Final = 10
_SEARCH_S: Final = 60
_PASSED: Final = ("PATH", "HOME", "KRB5CCNAME", "KRB5_CONFIG", "LANG")


@dataclass(frozen=True, slots=True)
class Directory:
    """A server's directory."""

    url: str
    base: str
    """DN of the domain, like dc=example,dc=com."""

    def ca_certificates(self, identity: Identity) -> tuple[str, ...]:
        """The CA certificates that clients are to trust, PEM, in an order that only they decide: the newest first.

        The connection is protected by Kerberos. Raises Unconfigured without the program, Unreachable.
        """
        for place, condition in _PLACES:
            found = set(self._search(f"{place},{self.base}", condition, identity))
            if found:
                newest_first = sorted(found, key=lambda each: (each.not_valid_before_utc, each.fingerprint(SHA256())))
                return tuple(each.public_bytes(Encoding.PEM).decode("ascii") for each in reversed(newest_first))
        raise Unreachable(f"{self.url} has no CA certificates below {self.base}")

    def _search(self, base: str, condition: str, identity: Identity) -> list[x509.Certificate]:
        if shutil.which(_PROGRAM) is None:
            raise Unconfigured(f"{_PROGRAM} is not installed ({_PACKAGES})")
        options = ["-LLL", "-Q", "-o", "ldif_wrap=no", "-o", f"nettimeout={_CONNECT_S}", "-z", str(_MOST_ENTRIES)]
        login = ["-Y", "GSSAPI", "-O", "minssf=56", "-N", "-H", self.url]
        environment = {name: value for name in _PASSED if (value := os.environ.get(name))}
        if "ccache" in identity.store:
            environment["KRB5CCNAME"] = identity.store["ccache"]
        try:
            done = subprocess.run(
                [_PROGRAM, *options, *login, "-b", base, condition, _ATTRIBUTE],
                env={**environment, "LDAPNOINIT": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_SEARCH_S,
            )
        except subprocess.TimeoutExpired as exc:
            raise Unreachable(f"{self.url} did not answer within {_SEARCH_S} seconds") from exc
        if done.returncode == _NO_SUCH_OBJECT:
            return []
        if done.returncode != 0:
            told = " ".join(done.stderr.decode("utf-8", "replace").split())
            raise Unreachable(f"{self.url} cannot be asked for CA certificates: {told or f'status {done.returncode}'}")
        prefix = f"{_ATTRIBUTE}:: ".lower().encode()
        values = [line[len(prefix) :] for line in done.stdout.splitlines() if line.lower().startswith(prefix)]
        return [certificate for value in values if (certificate := self._certificate(value)) is not None]

    def _certificate(self, value: bytes) -> x509.Certificate | None:
        """One value; None for what is no certificate, which is logged."""
        try:
            return x509.load_der_x509_certificate(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError) as exc:
            _log.warning("%s has a CA certificate that cannot be read: %s", self.url, exc)
            return None
