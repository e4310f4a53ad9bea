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


def fill_template(template: Template, facts: CertificateFacts) -> Template:
    """*template* with everything that it leaves open as it is in an adopted certificate.

    So a renewal asks for the same again. Where the certificate's status is published is for the next issuer to say,
    and not copied.
    """
    if not template.subject and not template.subject_der:
        template = replace(template, subject=facts.subject, subject_der=facts.subject_der)
    if facts.is_ca and not template.is_ca:
        template = replace(template, is_ca=True, ca_path_length=max(facts.ca_path_length, -1))  # -2 is "unlimited"
    return replace(template, **{name: getattr(template, name) or getattr(facts, name) for name in _COPIED})
