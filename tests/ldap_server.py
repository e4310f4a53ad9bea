"""A real LDAP server, Debian's slapd, that lets Kerberos clients in and has CA certificates where IPA has them.

Sources: the tree of FreeIPA's install/updates/20-ipaservers and ipalib/install/certstore.py (cn=certificates with
cACertificate;binary and ipaKeyTrust), and the older cn=CAcert of ipapython/certdb.py.
"""

import base64
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from kerberos_realm import KerberosRealm, free_port

BASE: Final = "dc=test,dc=example"
_START_LIMIT_S: Final = 60.0
_CONFIG: Final = """\
include /etc/ldap/schema/core.schema
attributetype ( 2.16.840.1.113730.3.8.11.58 NAME 'ipaKeyTrust' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 2.16.840.1.113730.3.8.12.30 NAME 'ipaCertificate' SUP top STRUCTURAL MUST cn
  MAY ( cACertificate $ ipaKeyTrust ) )
modulepath /usr/lib/ldap
moduleload back_mdb
sasl-host localhost
sasl-secprops noanonymous,noplain
database mdb
suffix "dc=test,dc=example"
directory {root}/db
access to * by users read by * none
"""
_HEAD: Final = """\
dn: dc=test,dc=example
objectClass: organization
objectClass: dcObject
o: test
dc: test

dn: cn=etc,dc=test,dc=example
objectClass: organizationalRole
cn: etc

dn: cn=ipa,cn=etc,dc=test,dc=example
objectClass: organizationalRole
cn: ipa
"""


def _entry(name: str, parent: str, certificate: x509.Certificate | bytes, trust: str) -> str:
    der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER)
    trusted = f"ipaKeyTrust: {trust}\n" if trust else ""
    value = base64.b64encode(der).decode()
    return (
        f"\ndn: cn={name},{parent}\nobjectClass: ipaCertificate\ncn: {name}\n{trusted}cACertificate;binary:: {value}\n"
    )


def modern(*certificates: tuple[str, x509.Certificate, str]) -> str:
    """The tree of a server: name, certificate and trust of each."""
    parent = f"cn=certificates,cn=ipa,cn=etc,{BASE}"
    container = f"\ndn: {parent}\nobjectClass: organizationalRole\ncn: certificates\n"
    return container + "".join(_entry(name, parent, each, trust) for name, each, trust in certificates)


def ancient(certificate: x509.Certificate) -> str:
    """The tree of an old server, with its one certificate."""
    return _entry("CAcert", f"cn=ipa,cn=etc,{BASE}", certificate, "")


@contextmanager
def running_slapd(root: Path, realm: KerberosRealm, tree: str) -> Iterator[str]:
    """slapd below *root* with *tree*; its URL."""
    keytab = root / "ldap.keytab"
    realm.administer("addprinc -randkey ldap/localhost", f"ktadd -k {keytab} ldap/localhost")
    (root / "db").mkdir()
    (root / "slapd.conf").write_text(_CONFIG.format(root=root))
    (root / "tree.ldif").write_text(_HEAD + tree)
    environment: Mapping[str, str] = {
        "PATH": "/usr/sbin:/usr/bin",
        **realm.environment,
        "KRB5_KTNAME": f"FILE:{keytab}",
    }
    loaded = subprocess.run(
        ["slapadd", "-f", root / "slapd.conf", "-l", root / "tree.ldif"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    port = free_port()
    url = f"ldap://localhost:{port}"
    with (root / "slapd.log").open("wb") as log:
        process = subprocess.Popen(
            ["slapd", "-h", url, "-f", root / "slapd.conf", "-d", "none"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                socket.create_connection(("localhost", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (root / "slapd.log").read_text()
                assert time.monotonic() < deadline, (root / "slapd.log").read_text()
                time.sleep(0.02)
        yield url
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
