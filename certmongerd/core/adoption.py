"""What a request takes over from a certificate that it did not ask for itself."""

from dataclasses import replace
from typing import Final

from certmongerd.core.model import CertificateFacts, Template

_COPIED: Final = (
    "hostname",
    "email",
    "principal",
    "ip_address",
    "ku",
    "eku",
    "ns_comment",
    "profile",
    "no_ocsp_check",
    "ns_certtype",
)
_PUBLISHED: Final = ("crldp", "freshest_crl", "ocsp")
_NO_PATH_LENGTH: Final = -1


def fill_template(template: Template, facts: CertificateFacts) -> Template:
    """*template* with everything that it leaves open as it is in an adopted certificate.

    So a renewal asks for the same again, and the certificate of a CA stays one. Where a certificate's status is
    published is for the issuer to say, and copied only from one that issued itself.
    """
    if not template.subject and not template.subject_der:
        template = replace(template, subject=facts.subject, subject_der=facts.subject_der)
    if facts.is_ca and not template.is_ca:
        template = replace(template, is_ca=True, ca_path_length=max(facts.ca_path_length, _NO_PATH_LENGTH))
    names = (*_COPIED, *_PUBLISHED) if facts.subject_der and facts.subject_der == facts.issuer_der else _COPIED
    return replace(template, **{name: getattr(template, name) or getattr(facts, name) for name in names})
