"""What reads data of strangers: one function per input, which takes any bytes and raises nothing.

Each lets the errors pass that its readers promise; whatever else comes out is a defect. `make fuzz` feeds them with
inputs that a coverage-guided fuzzer makes; the test suite feeds them with the seeds, with inputs that the fuzzer found
to reach further, and with changed ones of both.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from fakes.scep_authority import ReplyPlan, ca_with_ra, read_message, reply_to
from fakes.scep_cms import EnvelopePlan, SignaturePlan, certificates_only, envelope, indefinite
from scep_exchange import KEY, messages_for
from scep_material import NOW, certificate, pem, rsa_key

from certmongerd.busapi.transport import Decoder, MessageKind, WireMessage, encode
from certmongerd.config.load import parse_settings
from certmongerd.core.answers import HelperRun, read_answer
from certmongerd.core.ca_data import Phase, read_encryption_certs, read_text_phase
from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.core.model import ScepMessages
from certmongerd.pki.pem import pem_blocks
from certmongerd.pki.reply import parse_issued, parse_roots
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.delivery import decrypt_reply
from certmongerd.scep.describe import describe_message
from certmongerd.scep.message import Outgoing
from certmongerd.scep.oids import MessageType
from certmongerd.scep.reply import open_reply
from certmongerd.scep.trust import TrustedCertificates
from certmongerd.store.cas import read_ca, write_ca
from certmongerd.store.format import parse, render
from certmongerd.store.requests import read_request, write_request

Target = Callable[[bytes], None]


@cache
def _messages() -> ScepMessages:
    return messages_for(ca_with_ra())


def _request() -> bytes:
    return next(block.der for block in pem_blocks(_messages().req))


@cache
def _outgoing() -> Outgoing:
    messages = _messages()
    return Outgoing(transaction_id=messages.tx, sender_nonce=messages.nonce, message_type=MessageType.PKCS_REQ)


@cache
def _trusted() -> TrustedCertificates:
    authority = ca_with_ra()
    return TrustedCertificates(ra=authority.ra.certificate, ca=authority.ca.certificate)


def scep_reply(data: bytes) -> None:
    """An answer to PKIOperation."""
    open_reply(data, request=_outgoing(), trusted=_trusted(), now=NOW)
    describe_message(data)


def scep_certificates(data: bytes) -> None:
    """An answer to GetCACert."""
    with suppress(RemoteProtocolError):
        certificates_in(data)


def cms_envelope(data: bytes) -> None:
    """An EnvelopedData for a request's key."""
    with suppress(RemoteProtocolError):
        decrypt_reply(data, [(KEY, ())])


def helper_output(data: bytes) -> None:
    """Standard output of a helper, for whatever it was asked."""
    for read in (parse_issued, parse_roots):
        try:
            read(data)
        except (RemoteProtocolError, InvalidValue):
            continue
    for status in (0, 1, 2, 3, 4, 5, 6, 16, 17, 99):
        read_answer(HelperRun(exit_status=status, stdout=data), scep_given=True)
    read_encryption_certs(data)
    for phase in Phase:
        if phase not in (Phase.CERTS, Phase.ENCRYPTION_CERTS):
            read_text_phase(phase, data)


def state_file(data: bytes) -> None:
    """A file of a request or a CA; what was read is written and read alike."""
    try:
        records = parse(data)
    except InvalidValue:
        return
    try:
        request, _ = read_request(records)
        assert read_request(parse(render(write_request(request))))[0] == request
    except InvalidValue:
        pass
    try:
        ca, _ = read_ca(records)
        assert read_ca(parse(render(write_ca(ca))))[0] == ca
    except InvalidValue:
        pass


def dbus_message(data: bytes) -> None:
    """Bytes on the private socket after authentication."""
    decoder = Decoder()
    try:
        for _ in decoder.feed(data):
            pass
    except RemoteProtocolError:
        pass


def configuration(data: bytes) -> None:
    """certmonger.conf."""
    parse_settings(data.decode("utf-8", "replace"))


TARGETS: Final[Mapping[str, Target]] = {
    target.__name__: target
    for target in (
        scep_reply,
        scep_certificates,
        cms_envelope,
        helper_output,
        state_file,
        dbus_message,
        configuration,
    )
}


KEPT: Final = Path(__file__).parent / "data" / "fuzz"
"""An archive for each target; `make fuzz-keep` makes them."""


def kept(name: str) -> tuple[bytes, ...]:
    """The inputs of earlier runs of the fuzzer that each reach code which the others do not."""
    with ZipFile(KEPT / f"{name}.zip") as archive:
        return tuple(archive.read(entry) for entry in sorted(archive.namelist()))


def seeds(name: str) -> tuple[bytes, ...]:
    """Inputs that the target *name* reads to their end."""
    authority = ca_with_ra()
    bundle = certificates_only(authority.certificates)
    match name:
        case "scep_reply":
            request = read_message(_request(), authority.ra.rsa_key)
            plans = (
                ReplyPlan(),
                ReplyPlan(status="3"),
                ReplyPlan(status="2", fail_info="2", fail_info_text="no"),
                ReplyPlan(signature=SignaturePlan(wrap=indefinite)),
            )
            return tuple(reply_to(request, authority, plan) for plan in plans)
        case "scep_certificates":
            return (
                bundle,
                certificates_only(authority.certificates, indefinite),
                pem(*authority.certificates).encode(),
            )
        case "cms_envelope":
            recipient = certificate("client", KEY)
            shapes = [EnvelopePlan(), EnvelopePlan(cipher="des", form="constructed"), EnvelopePlan(form="indefinite")]
            shapes += [
                EnvelopePlan(transport="oaep-sha256"),
                EnvelopePlan(cipher="gcm128"),
                EnvelopePlan(names_key=True),
            ]
            return tuple(envelope(bundle, [recipient], shape) for shape in shapes)
        case "helper_output":
            text = pem(certificate("leaf", rsa_key("client")))
            json = b'{"certificate": "%s"}' % text.replace("\n", "\\n").encode()
            return (
                text.encode(),
                bundle,
                json,
                f"name\n{text}\n\nother\n{text}".encode(),
                b"30\ncookie\n",
                b"AES,DES3\n",
            )
        case "state_file":
            stored = (
                b"id=a\nstate=MONITORING\nkey_type=RSA\nca_name=local\ntemplate_eku=1.2.3\ncsr=-----BEGIN\n -----END\n"
            )
            odd = b"id=a\nsubmitted=700101000000\ncert_ipaddress=\xff.1,::1%\xff\n"
            odd += b"cert=\r\xc2\x85\r\n \x85\r\r\ncert_roots=\r\n"
            return (stored, odd, b"id=local\nca_type=EXTERNAL\nca_external_helper=/bin/true\n")
        case "dbus_message":
            call = WireMessage(
                kind=MessageKind.CALL,
                serial=1,
                path="/org/x",
                interface="org.x",
                member="M",
                signature="sas",
                body=("a", ("b",)),
            )
            return (encode(call),)
        case _:
            return (b"[defaults]\nnotify_ttls = 28d, 7d\ndigest = sha256\n[scep]\nchallenge_password_otp = yes\n",)
