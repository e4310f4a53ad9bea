"""What a SCEP server says it can do (GetCACaps, RFC 8894 section 3.5.2), and what is chosen from it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.scep.oids import Cipher, Digest

MAX_CAPABILITIES_BYTES: Final = 1024
"""A longer answer is not a list of capabilities."""
_MAX_WORD_LENGTH: Final = 64
_SEPARATORS: Final = re.compile(r"[\r\n,]+")

_CIPHER_NAMES: Final[Mapping[str, Cipher]] = {
    "des": Cipher.DES,
    "des3": Cipher.DES3,
    "3des": Cipher.DES3,
    "aes128": Cipher.AES128,
    "aes192": Cipher.AES192,
    "aes256": Cipher.AES256,
}
_DIGEST_NAMES: Final[Mapping[str, Digest]] = {digest.value.lower(): digest for digest in Digest}


def _canonical(word: str) -> str:
    """Spelling for comparisons: lower case without hyphens and blanks around."""
    return word.strip().lower().replace("-", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """A server's capability words in its order and spelling; compared without regard to case and hyphens."""

    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> "Capabilities":
        """Read a GetCACaps answer. What is not plausibly a list of words (HTML, too long) means no capabilities."""
        if len(body) > MAX_CAPABILITIES_BYTES:
            return cls()
        return cls.of(_SEPARATORS.split(body.decode("utf-8", "replace")))

    @classmethod
    def of(cls, words: Iterable[str]) -> "Capabilities":
        """Take stored *words*; one that cannot be a keyword spoils the whole list."""
        trimmed = tuple(word for word in (word.strip() for word in words) if word)
        if any(len(word) > _MAX_WORD_LENGTH or "<" in word or ">" in word for word in trimmed):
            return cls()
        return cls(words=trimmed)

    def lists(self, word: str) -> bool:
        """Whether the server said *word*."""
        wanted = _canonical(word)
        return any(_canonical(candidate) == wanted for candidate in self.words)

    @property
    def is_empty(self) -> bool:
        """Whether the server offers nothing, as one that does not know GetCACaps."""
        return not self.words

    @property
    def is_standard(self) -> bool:
        """Whether the server conforms to RFC 8894, which implies AES, POST and SHA-256."""
        return self.lists("SCEPStandard")

    @property
    def has_post(self) -> bool:
        """Whether PKIOperation goes by POST."""
        return self.is_standard or self.lists("POSTPKIOperation")

    @property
    def has_renewal(self) -> bool:
        """Whether an issued certificate may sign a request for a new key."""
        return self.lists("Renewal")


def parse_cipher(setting: str) -> Cipher:
    """The cipher a CA setting names, without regard to case and hyphens. Raises InvalidValue."""
    try:
        return _CIPHER_NAMES[_canonical(setting)]
    except KeyError:
        accepted = ", ".join(cipher.value for cipher in Cipher)
        raise InvalidValue("scep-cipher", f'Unknown SCEP cipher "{setting}"; one of {accepted}') from None


def parse_digest(setting: str) -> Digest:
    """The digest a CA setting names, without regard to case and hyphens. Raises InvalidValue."""
    try:
        return _DIGEST_NAMES[_canonical(setting)]
    except KeyError:
        accepted = ", ".join(digest.value for digest in Digest)
        raise InvalidValue("scep-digest", f'Unknown SCEP digest "{setting}"; one of {accepted}') from None


def choose_cipher(capabilities: Capabilities, setting: str = "") -> Cipher:
    """Content encryption for requests: the CA's setting, else the best the server lists, else triple DES.

    `AES` means AES-128-CBC (RFC 8894 section 3.5.2). Every deployed server takes triple DES, announced or not;
    single DES is only used when set. Raises InvalidValue for a bad setting.
    """
    if setting.strip():
        return parse_cipher(setting)
    for cipher in (Cipher.AES256, Cipher.AES192, Cipher.AES128):
        if capabilities.lists(cipher.value):
            return cipher
    if capabilities.is_standard or capabilities.lists("AES"):
        return Cipher.AES128
    return Cipher.DES3


def choose_digest(capabilities: Capabilities, setting: str = "") -> Digest:
    """Digest for signing requests: the CA's setting, else SHA-256, SHA-512, SHA-384 if listed, else SHA-1.

    MD5 is only used when set. Raises InvalidValue for a bad setting.
    """
    if setting.strip():
        return parse_digest(setting)
    if capabilities.is_standard:
        return Digest.SHA256
    for digest in (Digest.SHA256, Digest.SHA512, Digest.SHA384):
        if capabilities.lists(digest.value):
            return digest
    return Digest.SHA1
