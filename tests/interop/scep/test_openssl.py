"""Messages as OpenSSL's command line sees them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes.scep_authority import ca_with_ra
from scep_material import NOW, pem, rsa_key, signing_request

from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca
from certmongerd.scep.client import ScepInputs, build_messages


def openssl(*arguments: str, cwd: Path) -> bytes:
    program = shutil.which("openssl")
    if program is None:
        pytest.fail("openssl is not installed; install it with: apt-get install openssl")
    return subprocess.run([program, *arguments], cwd=cwd, check=True, capture_output=True, timeout=60).stdout


@pytest.mark.parametrize("cipher", ["DES3", "AES128", "AES192", "AES256"])
def test_openssl_verifies_and_opens_a_request(cipher: str, tmp_path: Path) -> None:
    authority = ca_with_ra()
    key = rsa_key("client")
    csr = signing_request(key, host="www.example.org", challenge="secret")
    ca = Ca(id=CaName("openssl"), encryption_cert=pem(authority.ra.certificate), scep_cipher=cipher)
    inputs = ScepInputs(csr=csr, ca=ca, key=key, now=NOW, nonce=bytes(16), random_bytes=lambda size: b"k" * size)
    (tmp_path / "request.pem").write_text(build_messages(inputs).req)
    (tmp_path / "ra.pem").write_text(pem(authority.ra.certificate))
    ra_key = authority.ra.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ra.key").write_bytes(ra_key)

    openssl(
        "cms", "-verify", "-noverify", "-binary", "-inform", "PEM", "-in", "request.pem", "-out", "e.der", cwd=tmp_path
    )
    openssl(
        *("cms", "-decrypt", "-binary", "-inform", "DER", "-in", "e.der", "-recip", "ra.pem", "-inkey", "ra.key"),
        *("-out", "csr.der"),
        cwd=tmp_path,
    )

    shown = openssl("req", "-inform", "DER", "-in", "csr.der", "-outform", "PEM", cwd=tmp_path)
    assert shown.decode().split() == csr.split()
    text = openssl("req", "-inform", "DER", "-in", "csr.der", "-noout", "-text", "-verify", cwd=tmp_path).decode()
    for field in ("CN = client.example.org", "challengePassword        :secret", "DNS:www.example.org"):
        assert field in text
