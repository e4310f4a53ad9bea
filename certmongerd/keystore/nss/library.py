"""libnss3 by ctypes: the functions used, their types, and errors by name. Loaded in worker processes only.

The structures are those of NSS's public headers, whose layout is part of its ABI.
"""

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_uint, c_ulong, c_void_p
from typing import Any, Final

from certmongerd.core.errors import FailureKind, KeyStoreError

_PERMISSION_ERRORS: Final = frozenset(
    {"PR_NO_ACCESS_RIGHTS_ERROR", "SEC_ERROR_READ_ONLY", "PR_READ_ONLY_FILESYSTEM_ERROR"}
)


class SecItem(ctypes.Structure):
    """A counted octet string (`SECItem`, seccomon.h)."""

    _fields_ = (("type", c_int), ("data", c_void_p), ("len", c_uint))

    def content(self) -> bytes:
        """A copy of the octets."""
        return ctypes.string_at(self.data, self.len) if self.data else b""


class Links(ctypes.Structure):
    """A place in a circular list (`PRCList`, prclist.h)."""

    _fields_ = (("next", c_void_p), ("previous", c_void_p))


class ListNode(ctypes.Structure):
    """A node of a list of certificates or keys (certt.h, keythi.h)."""

    _fields_ = (("links", Links), ("element", c_void_p))


class CertificateHead(ctypes.Structure):
    """The beginning of `CERTCertificate` (certt.h)."""

    _fields_ = (
        ("arena", c_void_p),
        ("subject_name", c_void_p),
        ("issuer_name", c_void_p),
        ("signature_wrap", SecItem * 4),
        ("der", SecItem),
        ("der_issuer", SecItem),
        ("der_subject", SecItem),
        ("der_public_key", SecItem),
    )


class Trust(ctypes.Structure):
    """Trust flags for TLS, mail and code (`CERTCertTrust`, certt.h)."""

    _fields_ = (("ssl", c_uint), ("email", c_uint), ("object_signing", c_uint))


class RsaParameters(ctypes.Structure):
    """`PK11RSAGenParams` (pk11pub.h)."""

    _fields_ = (("bits", c_int), ("exponent", c_ulong))


class OaepParameters(ctypes.Structure):
    """`CK_RSA_PKCS_OAEP_PARAMS` (PKCS #11, 6.1.7)."""

    _fields_ = (
        ("digest", c_ulong),
        ("mask", c_ulong),
        ("source", c_ulong),
        ("source_data", c_void_p),
        ("source_length", c_ulong),
    )


def item(content: bytes) -> tuple[SecItem, object]:
    """A SecItem of *content*, and what has to be kept for as long as it is used."""
    buffer = ctypes.create_string_buffer(content, len(content))
    return SecItem(0, ctypes.addressof(buffer), len(content)), buffer


class Nss:
    """The loaded library. Creating it raises `KeyStoreError` when there is none."""

    def __init__(self) -> None:
        try:
            self._nspr = ctypes.CDLL("libnspr4.so")
            self._nss = ctypes.CDLL("libnss3.so")
            self._util = ctypes.CDLL("libnssutil3.so")
        except OSError as exc:
            reason = f"NSS cannot be loaded ({exc}); on Debian it is in the package libnss3."
            raise KeyStoreError(FailureKind.TOKEN, "", reason) from exc
        self._nspr.PR_ErrorToName.restype = c_char_p
        function = self._function
        string, pointer = c_char_p, c_void_p
        items = POINTER(SecItem)
        self.initialize = function("NSS_Initialize", c_int, string, string, string, string, c_uint)
        self.shutdown = function("NSS_Shutdown", c_int)
        self.internal_slot = function("PK11_GetInternalKeySlot", pointer)
        self.slot_by_name = function("PK11_FindSlotByName", pointer, string)
        self.token_name = function("PK11_GetTokenName", string, pointer)
        self.need_user_init = function("PK11_NeedUserInit", c_int, pointer)
        self.init_pin = function("PK11_InitPin", c_int, pointer, string, string)
        self.need_login = function("PK11_NeedLogin", c_int, pointer)
        self.check_password = function("PK11_CheckUserPassword", c_int, pointer, string)
        self.generate = function(
            "PK11_GenerateKeyPair", pointer, pointer, c_ulong, pointer, POINTER(pointer), c_int, c_int, pointer
        )
        self.list_keys = function("PK11_ListPrivateKeysInSlot", pointer, pointer)
        self.key_nickname = function("PK11_GetPrivateKeyNickname", pointer, pointer)
        self.set_key_nickname = function("PK11_SetPrivateKeyNickname", c_int, pointer, string)
        self.delete_key = function("PK11_DeleteTokenPrivateKey", c_int, pointer, c_int)
        self.copy_key = function("SECKEY_CopyPrivateKey", pointer, pointer)
        self.key_of_certificate = function("PK11_FindPrivateKeyFromCert", pointer, pointer, pointer, pointer)
        self.public_of_private = function("SECKEY_ConvertToPublicKey", pointer, pointer)
        self.encode_spki = function("SECKEY_EncodeDERSubjectPublicKeyInfo", items, pointer)
        self.signature_length = function("PK11_SignatureLen", c_int, pointer)
        self.sign = function("PK11_Sign", c_int, pointer, items, items)
        self.decrypt_pkcs1 = function(
            "PK11_PrivDecryptPKCS1", c_int, pointer, string, POINTER(c_uint), c_uint, string, c_uint
        )
        self.decrypt = function(
            "PK11_PrivDecrypt", c_int, pointer, c_ulong, items, string, POINTER(c_uint), c_uint, string, c_uint
        )
        self.list_certificates = function("PK11_ListCertsInSlot", pointer, pointer)
        self.import_certificate = function("PK11_ImportDERCert", c_int, pointer, items, c_ulong, string, c_int)
        self.delete_certificate = function("SEC_DeletePermCertificate", c_int, pointer)
        self.read_attribute = function("PK11_ReadRawAttribute", c_int, c_int, pointer, c_ulong, items)
        self.write_attribute = function("PK11_WriteRawAttribute", c_int, c_int, pointer, c_ulong, items)
        self.get_trust = function("CERT_GetCertTrust", c_int, pointer, POINTER(Trust))
        self.change_trust = function("CERT_ChangeCertTrust", c_int, pointer, pointer, POINTER(Trust))
        self.decode_trust = function("CERT_DecodeTrustString", c_int, POINTER(Trust), string)
        self.default_database = function("CERT_GetDefaultCertDB", pointer)

    def _function(self, name: str, result: type | None, *arguments: type) -> Callable[..., Any]:
        function = getattr(self._nss, name)
        function.restype = result
        function.argtypes = arguments
        return function  # type: ignore[no-any-return]  # ctypes finds functions by name

    def error_name(self) -> str:
        """The last error, as in `SEC_ERROR_BAD_DATABASE`."""
        name = self._nspr.PR_ErrorToName(self._nspr.PR_GetError())
        return name.decode("ascii") if name else "an unknown error"

    def failure(self, what: str) -> KeyStoreError:
        """The last error as an exception saying that *what* failed."""
        name = self.error_name()
        kind = FailureKind.PERMS if name in _PERMISSION_ERRORS else FailureKind.OTHER
        return KeyStoreError(kind, "", f"{what}: {name}")
