"""Reading capabilities and choosing algorithms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.scep.caps import Capabilities, choose_cipher, choose_digest
from certmongerd.scep.oids import Cipher, Digest

ALL = b"AES\nDES3\nGetNextCACert\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-512\nSCEPStandard\n"


@pytest.mark.parametrize(
    ("body", "cipher", "digest", "post"),
    [
        (ALL, Cipher.AES128, Digest.SHA256, True),
        (b"AES\nDES3", Cipher.AES128, Digest.SHA1, False),
        (b"DES3\nAES", Cipher.AES128, Digest.SHA1, False),
        (b"DES3", Cipher.DES3, Digest.SHA1, False),
        (b"SHA-1\nDES3", Cipher.DES3, Digest.SHA1, False),
        (b"SHA-512", Cipher.DES3, Digest.SHA512, False),
        (b"SHA-384", Cipher.DES3, Digest.SHA384, False),
        (b"SHA-512\nSHA-256", Cipher.DES3, Digest.SHA256, False),
        (b"SCEPStandard", Cipher.AES128, Digest.SHA256, True),
        (b"AES128", Cipher.AES128, Digest.SHA1, False),
        (b"AES-128", Cipher.AES128, Digest.SHA1, False),
        (b"AES192", Cipher.AES192, Digest.SHA1, False),
        (b"AES-128\nAES-256\nAES", Cipher.AES256, Digest.SHA1, False),
        (ALL.lower(), Cipher.AES128, Digest.SHA256, True),
        (b"", Cipher.DES3, Digest.SHA1, False),
        (b" AES \r\n SHA-256  \r\nSomethingNew\r\n", Cipher.AES128, Digest.SHA256, False),
        (b"AES,SHA-256,POSTPKIOperation", Cipher.AES128, Digest.SHA256, True),
    ],
)
def test_the_choice_follows_from_the_servers_words(body: bytes, cipher: Cipher, digest: Digest, post: bool) -> None:
    capabilities = Capabilities.parse(body)
    assert (choose_cipher(capabilities), choose_digest(capabilities), capabilities.has_post) == (cipher, digest, post)


@pytest.mark.parametrize("body", [b"<html><body>AES</body></html>", b"AES\n" * 300, b"AES\n" + b"x" * 65])
def test_what_is_not_a_list_of_words_means_no_capabilities(body: bytes) -> None:
    assert Capabilities.parse(body).is_empty


def test_unknown_words_are_kept_as_the_server_spelled_them() -> None:
    assert Capabilities.parse(b"Update\r\n aes\r\n").words == ("Update", "aes")


@pytest.mark.parametrize(
    ("setting", "cipher"), [("AES128", Cipher.AES128), ("aes-256", Cipher.AES256), ("Des", Cipher.DES)]
)
def test_a_cipher_setting_wins_without_regard_to_case(setting: str, cipher: Cipher) -> None:
    assert choose_cipher(Capabilities.parse(ALL), setting) is cipher


@pytest.mark.parametrize(
    ("setting", "digest"), [("SHA1", Digest.SHA1), ("md5", Digest.MD5), ("SHA-512", Digest.SHA512)]
)
def test_a_digest_setting_wins_without_regard_to_case(setting: str, digest: Digest) -> None:
    assert choose_digest(Capabilities.parse(ALL), setting) is digest


def test_a_bad_setting_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="bogus") as cipher:
        choose_cipher(Capabilities(), "bogus")
    with pytest.raises(InvalidValue) as digest:
        choose_digest(Capabilities(), "bogus")
    assert (cipher.value.what, digest.value.what) == ("scep-cipher", "scep-digest")


@given(st.binary(max_size=2000))
def test_any_answer_leads_to_a_choice_that_is_never_weaker_than_triple_des_and_sha1(body: bytes) -> None:
    capabilities = Capabilities.parse(body)
    assert choose_cipher(capabilities) is not Cipher.DES
    assert choose_digest(capabilities) is not Digest.MD5
