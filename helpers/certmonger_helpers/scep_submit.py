"""scep-submit: carries requests to servers that speak the Simple Certificate Enrolment Protocol (RFC 8894)."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from cryptography import x509

from certmonger_helpers.address import http_url, shown
from certmonger_helpers.privileges import load_late
from certmonger_helpers.protocol import (
    ExitStatus,
    Helper,
    HelperInput,
    Operation,
    Rejected,
    Reply,
    Unconfigured,
    build_parser,
    run,
)
from certmonger_helpers.scep.authority import DEFAULT_IDENTIFIER, OutOfBand, fetch_certificates
from certmonger_helpers.scep.material import (
    NeedMessages,
    certificates_of_file,
    certificates_of_text,
    message_of_file,
    message_of_text,
    pem_of,
    standard_input,
)
from certmonger_helpers.scep.server import ScepServer
from certmonger_helpers.scep.submission import ENROLMENTS, POLLS, QUERIES, Candidates, submit
from certmonger_helpers.scep.trace import traced
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits, load_library, run_with_client
from certmongerd.scep.caps import Capabilities
from certmongerd.scep.digests import digest_of
from certmongerd.scep.oids import Digest
from certmongerd.scep.trust import TrustedCertificates

REQUIREMENTS: Final = (
    "CERTMONGER_SCEP_RA_CERTIFICATE",
    "CERTMONGER_SCEP_CA_CERTIFICATE",
    "CERTMONGER_PKCSREQ",
    "CERTMONGER_PKCSREQ_REKEY",
    "CERTMONGER_GETCERTINITIAL",
    "CERTMONGER_GETCERTINITIAL_REKEY",
)

_OF_FILES: Final = ("racert", "cacert", "other_certs", "signingca", "trace", "message")
"""Options whose values are files."""

load_library()  # whatever is asked of this helper, it asks the server
_Result = TypeVar("_Result")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add scep-submit's options and operand."""
    parser.add_argument("-u", "--url", help="location of the SCEP service")
    parser.add_argument("-i", "--ca-identifier", metavar="NAME", help="name of the CA to ask the server for")
    modes = parser.add_mutually_exclusive_group()
    for flag, name, operation, text in (
        ("-c", "--retrieve-ca-capabilities", Operation.FETCH_SCEP_CA_CAPS, "print what the server can do"),
        ("-C", "--retrieve-ca-certificates", Operation.FETCH_SCEP_CA_CERTS, "print the server's certificates"),
        ("-g", "--get-initial-cert", Operation.POLL, "ask for the certificate of an earlier request"),
        ("-p", "--pki-message", Operation.SUBMIT, "send a request"),
        ("", "--query", Operation.SCEP_QUERY, "ask for a certificate or a revocation list"),
    ):
        names = (flag, name) if flag else (name,)
        modes.add_argument(*names, dest="mode", action="store_const", const=operation, help=text)
    parser.add_argument("-r", "--racert", metavar="FILE", help="RA certificate, which requests are encrypted to")
    parser.add_argument("-R", "--cacert", metavar="FILE", help="CA certificates for verifying the https server")
    parser.add_argument("-I", "--other-certs", metavar="FILE", help="further certificates for verifying replies")
    parser.add_argument("-N", "--signingca", metavar="FILE", help="CA certificate for verifying replies")
    parser.add_argument("-n", "--non-renewal", action="store_true", help="do not use the Renewal feature of the server")
    parser.add_argument("--trace", metavar="FILE", help="append every step to FILE, readably and without secrets")
    parser.add_argument("message", nargs="?", metavar="FILE", help="SCEP message, PEM")


def choose_operation(given: HelperInput, options: argparse.Namespace) -> Operation | None:
    """The option's operation, else the variable's. Raises Unconfigured when neither names one."""
    if options.mode is not None:
        return Operation(options.mode)
    if not given.operation_name.strip():
        raise _usage_error("No SCEP operation (-c/-C/-g/-p) given")
    return given.operation


def _usage_error(line: str) -> Unconfigured:
    """*line* followed by the usage."""
    return Unconfigured(f"{line}\n{build_parser(HELPER).format_usage()}")


def _required_url(options: argparse.Namespace) -> str:
    """The URL of the service. Raises Unconfigured."""
    if not options.url:
        raise _usage_error("No SCEP URL (-u) given")
    return http_url(options.url, "SCEP URL")


def _with_server(
    given: HelperInput, options: argparse.Namespace, task: Callable[[ScepServer], Awaitable[_Result]]
) -> _Result:
    """Run *task* with the server that the options name, within the time limit of a run."""
    url = _required_url(options)
    identifier = options.ca_identifier if options.ca_identifier is not None else given.scep_ca_identifier
    name = DEFAULT_IDENTIFIER if identifier is None else identifier

    def ask(client: HttpClient) -> Awaitable[_Result]:
        return task(ScepServer(client, url, name))

    return run_with_client(ask, url=url, tls=TlsSettings(ca_file=options.cacert), limits=Limits())


def fetch_capabilities(given: HelperInput, options: argparse.Namespace) -> Reply:
    """FETCH-SCEP-CA-CAPS: the words, one per line, as the server spelled them."""
    body = _with_server(given, options, lambda server: server.get_ca_caps())
    if body is None:
        raise Rejected(f"{shown(options.url)} does not tell its capabilities")
    return Reply(output="".join(f"{word}\n" for word in Capabilities.parse(body).words))


def fetch_ca_certificates(given: HelperInput, options: argparse.Namespace) -> Reply:
    """FETCH-SCEP-CA-CERTS: RA certificate, CA certificate, others, PEM."""
    out_of_band = OutOfBand(
        ra=_first(certificates_of_file(options.racert)),
        ca=_first(certificates_of_file(options.signingca)),
        others=certificates_of_file(options.other_certs),
    )
    selection = _with_server(given, options, lambda server: fetch_certificates(server, out_of_band))
    return Reply(output=pem_of(selection.in_order))


def submit_request(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT: send a PKCSReq or RenewalReq."""
    return _send(given, options, Candidates(kind="PKCSReq", accepted=ENROLMENTS), given.pkcsreq, given.pkcsreq_rekey)


def poll_request(given: HelperInput, options: argparse.Namespace) -> Reply:
    """POLL: send a CertPoll."""
    expected = Candidates(kind="GetCertInitial", accepted=POLLS)
    return _send(given, options, expected, given.getcertinitial, given.getcertinitial_rekey)


def send_query(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SCEP-QUERY: send a GetCert or GetCRL."""
    expected = Candidates(kind="GetCert or GetCRL", accepted=QUERIES)
    return _send(given, options, expected, given.scep_query, "")


def _send(given: HelperInput, options: argparse.Namespace, expected: Candidates, plain: str, rekey: str) -> Reply:
    """Send one of the PEM messages *plain* and *rekey*, which have to be as *expected*."""
    _required_url(options)
    candidates = _candidates(options, expected, plain, rekey)
    trusted = _trusted(given, options)
    return _with_server(given, options, lambda server: submit(server, candidates, trusted))


def _candidates(options: argparse.Namespace, expected: Candidates, plain: str, rekey: str) -> Candidates:
    """The messages given: an operand wins over variables, these over standard input. Raises NeedMessages."""
    kind = expected.kind
    if options.message:
        return replace(expected, plain=message_of_file(options.message, kind))
    if not plain and not rekey:
        plain = standard_input()
    if not plain and not rekey:
        raise NeedMessages(f"No {kind} message given")
    return replace(
        expected,
        plain=message_of_text(plain, kind) if plain else b"",
        rekey=message_of_text(rekey, kind) if rekey else b"",
        prefers_rekey=options.non_renewal,
    )


def _trusted(given: HelperInput, options: argparse.Namespace) -> TrustedCertificates:
    """The server's certificates from options, else variables. Raises Unconfigured without an RA certificate."""
    ra = certificates_of_file(options.racert) or certificates_of_text(
        given.scep_ra_certificate, "CERTMONGER_SCEP_RA_CERTIFICATE"
    )
    if not ra:
        raise _usage_error("No RA certificate (-r) given")
    ca = certificates_of_file(options.signingca) or certificates_of_text(
        given.scep_ca_certificate, "CERTMONGER_SCEP_CA_CERTIFICATE"
    )
    others = certificates_of_file(options.other_certs) + certificates_of_text(
        given.scep_certificates, "CERTMONGER_SCEP_CERTIFICATES"
    )
    return TrustedCertificates(ra=ra[0], ca=_first(ca), others=others)


def _first(certificates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The first of *certificates*, if there is one."""
    return certificates[0] if certificates else None


def requirements(given: HelperInput, options: argparse.Namespace) -> Reply:
    """The variables that SUBMIT and POLL need."""
    del given, options
    return Reply(output="".join(f"{name}\n" for name in REQUIREMENTS), status=ExitStatus.ISSUED)


HELPER: Final = Helper(
    program="scep-submit",
    product="SCEP",
    answers={
        Operation.GET_NEW_REQUEST_REQUIREMENTS: requirements,
        Operation.GET_RENEW_REQUEST_REQUIREMENTS: requirements,
        Operation.FETCH_SCEP_CA_CAPS: traced(fetch_capabilities),
        Operation.FETCH_SCEP_CA_CERTS: traced(fetch_ca_certificates),
        Operation.SUBMIT: traced(submit_request),
        Operation.POLL: traced(poll_request),
        Operation.SCEP_QUERY: traced(send_query),
    },
    add_options=add_options,
    choose_operation=choose_operation,
)


def warm_up() -> None:
    """Do once what is slow the first time in a process: called before many runs are forked."""
    load_late()
    build_parser(HELPER).parse_args([])
    digest_of(Digest.SHA256, b"")


def can_run_again(argv: Sequence[str]) -> bool:
    """Whether a process that has run with *argv* can do so again.

    It has become a user by then who may be unable to read the files that options name.
    """
    try:
        options = build_parser(HELPER).parse_args(argv)
    except (Unconfigured, SystemExit):
        return False
    return all(getattr(options, name) is None for name in _OF_FILES)


def main(argv: Sequence[str] | None = None) -> int:
    """Run once with *argv*, which excludes the program name; returns the exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
