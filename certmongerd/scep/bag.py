"""Certificates out of whatever form a server chose for them."""

import base64
import binascii
import re
from typing import Final

from cryptography import x509

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der
from certmongerd.scep.asn1 import certificate_der, decoding, split
from certmongerd.scep.ber import to_der
from certmongerd.scep.certificates import load_certificate
from certmongerd.scep.cms import SignedData

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_BLANKS: Final = re.compile(rb"\s+")
_CERTIFICATE_LABELS: Final = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"})
_CMS_LABELS: Final = frozenset({b"PKCS7", b"CMS", b"PKCS #7 SIGNED DATA"})


def certificates_in(data: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates in *data*, in order, without duplicates.

    Accepts certificates and certificates-only SignedData, each as DER, BER, PEM
    or bare base64, and mixtures of PEM blocks. Raises RemoteProtocolError when
    there is no certificate, or one cannot be read.
    """
    blocks = _BLOCK.findall(data)
    if blocks:
        found = [
            certificate
            for label, text in blocks
            if label in _CERTIFICATE_LABELS | _CMS_LABELS
            for certificate in _from_binary(_from_base64(text))
        ]
    elif data[:1] == bytes((der.SEQUENCE,)):
        found = _from_binary(data)
    else:
        found = _from_binary(_from_base64(data))
    if not found:
        raise RemoteProtocolError("There is no certificate in the data")
    return tuple({certificate_der(certificate): certificate for certificate in found}.values())


def _from_base64(text: bytes) -> bytes:
    """Decode base64 with line breaks."""
    try:
        return base64.b64decode(_BLANKS.sub(b"", text), validate=True)
    except binascii.Error as exc:
        raise RemoteProtocolError("The data is neither a certificate nor a PKCS#7 collection") from exc


def _from_binary(data: bytes) -> list[x509.Certificate]:
    """Certificates in one DER or BER element."""
    definite = to_der(data) if data else b""
    outer = split(definite)
    members = split(outer[0].content) if outer and outer[0].tag == der.SEQUENCE else ()
    if not members:
        raise RemoteProtocolError("The data is neither a certificate nor a PKCS#7 collection")
    if members[0].tag != der.OBJECT_IDENTIFIER:
        return [load_certificate(definite)]
    with decoding("PKCS#7 collection"):
        signed = SignedData.read(definite)
    if signed is None:
        raise RemoteProtocolError("The PKCS#7 data is not a collection of certificates")
    return [load_certificate(element.encoded) for element in signed.certificates if element.tag == der.SEQUENCE]
