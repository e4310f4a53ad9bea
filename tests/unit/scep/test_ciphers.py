"""Content encryption, compared with an independent implementation and a published value."""

import pytest
from fakes.scep_cms import cbc_decrypt, cbc_encrypt, tlv
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.ciphers import decrypt, encrypt
from certmongerd.scep.oids import Cipher


@given(st.sampled_from(Cipher), st.binary(max_size=200), st.data())
def test_what_one_side_encrypts_the_other_decrypts(cipher: Cipher, plaintext: bytes, data: st.DataObject) -> None:
    key = data.draw(st.binary(min_size=cipher.key_bytes, max_size=cipher.key_bytes))
    iv = data.draw(st.binary(min_size=cipher.block_bytes, max_size=cipher.block_bytes))
    name = cipher.value.lower()
    assert cbc_decrypt(name, key, iv, encrypt(cipher, key, iv, plaintext)) == plaintext
    assert decrypt(cipher.oid, tlv(4, iv), key, cbc_encrypt(name, key, iv, plaintext)) == plaintext


def test_single_des_is_the_real_one() -> None:
    # the worked example of J. Orlin Grabbe's "The DES Algorithm Illustrated"
    key, block = bytes.fromhex("133457799bbcdff1"), bytes.fromhex("0123456789abcdef")
    assert encrypt(Cipher.DES, key, bytes(8), block)[:8] == bytes.fromhex("85e813540f0ab405")


@pytest.mark.parametrize(
    ("algorithm", "parameters", "key", "ciphertext", "part"),
    [
        (Cipher.AES128.oid, tlv(4, bytes(15)), bytes(16), bytes(16), "initialisation vector"),
        (Cipher.AES128.oid, b"", bytes(16), bytes(16), "initialisation vector"),
        (Cipher.AES128.oid, tlv(2, bytes(16)), bytes(16), bytes(16), "initialisation vector"),
        (Cipher.AES128.oid, tlv(4, bytes(16)), bytes(15), bytes(16), "key"),
        (Cipher.AES128.oid, tlv(4, bytes(16)), bytes(16), bytes(17), "cut off"),
        (Cipher.AES128.oid, tlv(4, bytes(16)), bytes(16), b"", "cut off"),
        (Cipher.DES3.oid, tlv(4, bytes(8)), bytes(24), bytes(8), "padding"),
        ("1.2.840.113549.3.2", tlv(4, bytes(8)), bytes(16), bytes(8), "not supported"),
        ("2.16.840.1.101.3.4.1.6", tlv(4, bytes(12)), bytes(16), bytes(32), "parameters"),
        ("2.16.840.1.101.3.4.1.6", tlv(0x30, tlv(4, bytes(12))), bytes(16), bytes(32), "tag of 12"),
        ("2.16.840.1.101.3.4.1.6", tlv(0x30, tlv(4, bytes(12)), tlv(2, b"\x10")), bytes(16), bytes(32), "authentic"),
        ("2.16.840.1.101.3.4.1.6", tlv(0x30, tlv(4, b""), tlv(2, b"\x10")), bytes(16), bytes(32), "authentic"),
    ],
)
def test_unusable_content_is_explained(
    algorithm: str, parameters: bytes, key: bytes, ciphertext: bytes, part: str
) -> None:
    with pytest.raises(RemoteProtocolError, match=part):
        decrypt(algorithm, parameters, key, ciphertext)
