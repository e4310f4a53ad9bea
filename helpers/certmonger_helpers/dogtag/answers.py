"""What Dogtag's XML answers say. Pure.

The paths are those that certmonger 0.79.17 evaluates; FreeIPA's ipaserver/plugins/dogtag.py describes the same answers.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.outcome import Rejected, Unreachable
from certmongerd.pki.pem import pem_blocks

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_DEFAULTS: Final = "output/set/record/list/record/set/defList/list/defList/set"
_SHOWN_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the service at *url*."""

    url: str
    root: ElementTree.Element

    @classmethod
    def parse(cls, body: bytes, url: str) -> "Answer":
        """Read the XML of an answer. Raises Unreachable when it is none."""
        text = body.decode("utf-8", "replace").strip()
        if not text:
            raise Unreachable(f'Server at "{url}" sent an empty answer')
        if "<!DOCTYPE" in text or "<!ENTITY" in text:  # Dogtag sends none; entities could grow without limit
            raise Unreachable(f'Server at "{url}" sent an answer that is not plain XML')
        try:
            return cls(url, ElementTree.fromstring(text))
        except (ElementTree.ParseError, RecursionError) as exc:
            raise Unreachable(f'Server at "{url}" sent an answer that is not XML: {exc}') from exc

    def text(self, document: str, path: str) -> str:
        """The trimmed text at *path* in a document whose outermost element is *document*; empty when absent."""
        return (self.root.findtext(path) or "").strip() if self.root.tag == document else ""

    def refusal(self, *reasons: str) -> Rejected | Unreachable:
        """What to raise for an answer that is no success, with those of its *reasons* that are there.

        An answer in which nothing is known is none of Dogtag's, and may be another one later.
        """
        told = [" ".join(reason.split()) for reason in reasons if reason]
        if not told and self.root.tag not in {"XMLResponse", "xml"}:
            return Unreachable(f'Server at "{self.url}" sent an answer that is not one of Dogtag')
        return Rejected(f'Server at "{self.url}" replied: {": ".join(told) or "nothing"}'[:_SHOWN_TEXT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of a submission: a certificate, or a request that waits for an agent."""

    certificate: str = ""
    request_id: str = ""


def submitted(answer: Answer) -> Submitted:
    """Read an answer to profileSubmit. Raises Rejected or Unreachable."""
    status = answer.text("XMLResponse", "Status")
    encoded = answer.text("XMLResponse", "Requests/Request/b64")
    request_id = answer.text("XMLResponse", "RequestId") or answer.text("XMLResponse", "Requests/Request/Id")
    if status == "0" and encoded:
        return Submitted(certificate=_pem(encoded, answer.url))
    if status == "2" and request_id:
        return Submitted(request_id=request_id)
    code, reason = _error(answer)
    raise answer.refusal(answer.text("XMLResponse", "Error"), code, reason)


def checked_status(answer: Answer) -> str:
    """`pending` or `complete` from an answer to checkRequest. Raises Rejected or Unreachable for anything else."""
    status = answer.text("xml", "header/status")
    if status in {"pending", "complete"}:
        return status
    raise answer.refusal(answer.text("xml", "fixed/unexpectedError") or status)


def defaults_to_approve(answer: Answer) -> tuple[tuple[str, str], ...]:
    """Names and values that an agent approves, from an answer to profileReview. Raises Rejected or Unreachable."""
    code, reason = _error(answer)
    if code not in {"", "0"} or answer.root.tag != "xml":
        raise answer.refusal(code, reason)
    return tuple(
        (name, value)
        for entry in answer.root.iterfind(_DEFAULTS)
        if (name := (entry.findtext("defId") or "").strip()) and (value := _default(entry)) is not None
    )


def _default(entry: ElementTree.Element) -> str | None:
    """The value to approve of one default; None for one that is not sent."""
    constraint = entry.findtext("defConstraint") or ""
    value = entry.findtext("defVal")
    if constraint == "readonly":
        return None
    if value is None and entry.findtext("defSyntax") == "choice":
        return constraint.split(",")[0]
    return value


def require_approved(answer: Answer) -> None:
    """Read an answer to profileProcess. Raises Rejected or Unreachable unless the request is complete."""
    status = answer.text("xml", "output/set/requestStatus")
    if status != "complete":
        code, reason = _error(answer)
        raise answer.refusal(code, reason) if code or reason else answer.refusal(status)


def retrieved_certificate(answer: Answer) -> str:
    """The PEM certificate in an answer to displayCertFromRequest. Raises Rejected or Unreachable."""
    text = answer.text("xml", "records/record/base64Cert")
    if not text:
        raise answer.refusal(answer.text("xml", "fixed/unexpectedError") or answer.text("xml", "fixed/requestStatus"))
    return _pem(text, answer.url)


def profiles(answer: Answer) -> tuple[str, ...]:
    """Names of the profiles that are enabled and visible, from an answer to profileList. Raises Unreachable."""
    if answer.root.tag != "xml":
        raise answer.refusal()
    entries = answer.root.iterfind("output/set/record/list/*/set")
    return tuple(
        (entry.findtext("profileId") or "").strip()
        for entry in entries
        if entry.findtext("profileIsEnable") == "true" and entry.findtext("profileIsVisible") == "true"
    )


def approval_form(defaults: tuple[tuple[str, str], ...], given: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is sent to approve: *defaults* that are not *given* otherwise, then what is given."""
    return [(name, value) for name, value in defaults if name not in given] + list(given.items())


def _error(answer: Answer) -> tuple[str, str]:
    """Code and reason of an error."""
    return answer.text("xml", "output/set/errorCode"), answer.text("xml", "output/set/errorReason")


def _pem(text: str, url: str) -> str:
    """A certificate, given with or without armour. Raises Unreachable."""
    block = next((block for block in pem_blocks(text) if block.label == "CERTIFICATE"), None)
    try:
        der = block.der if block else base64.b64decode("".join(text.split()), validate=True)
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii")
    except (binascii.Error, ValueError) as exc:
        raise Unreachable(f'Server at "{url}" sent a certificate that cannot be read') from exc
