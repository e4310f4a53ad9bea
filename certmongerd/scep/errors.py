"""Why SCEP messages cannot be made, one type per reaction of the state machine."""

from certmongerd.core.errors import CertmongerError, RemoteProtocolError


class MissingEncryptionCertificate(CertmongerError):
    """The CA's encryption (RA) certificate is not known, or cannot be encrypted to."""

    def __init__(self, ca: str, reason: str) -> None:
        self.ca = ca
        self.reason = reason
        super().__init__(f"No SCEP encryption certificate of CA {ca}: {reason}")


class NotRsaKey(CertmongerError):
    """SCEP messages need an RSA key for signing and for the reply's envelope."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        super().__init__(f"SCEP needs an RSA key, but the request's key is {algorithm}")


class UndecryptableReply(RemoteProtocolError):
    """The issued certificate is in an envelope which none of the request's keys opens."""
