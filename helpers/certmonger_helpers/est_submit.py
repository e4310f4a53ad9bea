"""est-submit: carries requests to servers for Enrollment over Secure Transport (RFC 7030)."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.est.bootstrap import read_fingerprint, root_with_fingerprint
from certmonger_helpers.est.identity import Shown, shown_identity
from certmonger_helpers.est.server import EstServer, Later, OperationMissing, base_url
from certmonger_helpers.http_authentication import Login
from certmonger_helpers.privileges import give_up
from certmonger_helpers.protocol import Helper, HelperInput, Operation, Reply, Unconfigured, run
from certmonger_helpers.roots import json_of_roots
from certmonger_helpers.secret_file import secret_of_file
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits, load_library, run_with_client

load_library()  # whatever is asked of this helper, it asks the server

_ENROL: Final = "simpleenroll"
_REENROL: Final = "simplereenroll"
_VARIABLES: Final = {
    "1.2.840.113549.1.9.1": "CERTMONGER_REQ_EMAIL",
    "2.5.4.3": "CERTMONGER_REQ_SUBJECT",
    "2.5.4.5": "CERTMONGER_REQ_SUBJECT",
    "2.5.4.10": "CERTMONGER_REQ_SUBJECT",
    "2.5.4.11": "CERTMONGER_REQ_SUBJECT",
    "1.3.6.1.4.1.311.20.2.3": "CERTMONGER_REQ_PRINCIPAL",
    "1.3.6.1.5.2.2": "CERTMONGER_REQ_PRINCIPAL",
    "2.5.29.17": "CERTMONGER_REQ_HOSTNAME",
}
"""What a request should have (OIDs), and the variable that says it is there."""
_Result = TypeVar("_Result")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add est-submit's options."""
    parser.add_argument("-u", "--url", metavar="URL", help="the server, https://HOST[:PORT], or the whole address")
    parser.add_argument("--label", default="", metavar="NAME", help="which CA of the server")
    parser.add_argument("-R", "--cacert", metavar="FILE", help="CA certificates for verifying the server")
    parser.add_argument(
        "--root-fingerprint", metavar="SHA256", help="take the CA certificate with this fingerprint from the server"
    )
    parser.add_argument("--user", metavar="NAME", help="user name for HTTP authentication")
    parser.add_argument("--password-file", metavar="FILE", help="file whose first line is the password")
    parser.add_argument("--certificate", metavar="FILE", help="certificate for TLS authentication")
    parser.add_argument("--key", metavar="FILE", help="its key (default: in the same file)")
    parser.add_argument(
        "--renewal-keys",
        metavar="PLACE",
        action="append",
        default=[],
        help="folder or file with keys: the certificate to be renewed is shown instead, if its key is there",
    )
    parser.add_argument("--key-password-file", metavar="FILE", help="file whose first line is the keys' password")
    parser.add_argument("csr_file", metavar="csrfile", nargs="?", help="file with the signing request (PEM)")


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL: the same request, since EST has no other way to ask again (section 4.2.3)."""
    csr = _read_request(given.read_csr(options.csr_file))
    before = given.ca_cookie.strip()
    operation = before if before in (_ENROL, _REENROL) else _REENROL if _renews(csr, given.certificate) else _ENROL

    async def ask(server: EstServer) -> Reply:
        try:
            return _reply(operation, await server.enrol(operation, csr.public_bytes(Encoding.DER)))
        except OperationMissing:
            if operation == _ENROL:
                raise
        return _reply(_ENROL, await server.enrol(_ENROL, csr.public_bytes(Encoding.DER)))

    return _with_server(given, options, ask)


def _reply(operation: str, answer: list[x509.Certificate] | Later) -> Reply:
    """What the daemon is told; the cookie says how to ask again."""
    if not isinstance(answer, Later):
        return Reply(output="".join(each.public_bytes(Encoding.PEM).decode() for each in answer))
    return Reply.later(operation, answer.delay_s)


def fetch_roots(given: HelperInput, options: argparse.Namespace) -> Reply:
    """FETCH-ROOTS: /cacerts, which TLS protects. What is self-signed is a root, the rest belongs to chains."""
    certificates = _with_server(given, options, lambda server: server.ca_certificates())
    return Reply(output=json_of_roots(certificates))


def requirements(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-NEW- and GET-RENEW-REQUEST-REQUIREMENTS: /csrattrs, as far as variables of the daemon say it."""
    identifiers = _with_server(given, options, lambda server: server.request_attributes())
    names = dict.fromkeys(_VARIABLES[each] for each in identifiers if each in _VARIABLES)
    return Reply(output="".join(f"{name}\n" for name in names))


def _with_server(
    given: HelperInput, options: argparse.Namespace, task: Callable[[EstServer], Awaitable[_Result]]
) -> _Result:
    """Run *task* with the server that the options name. Raises Unconfigured for what they lack."""
    if not options.url:
        raise Unconfigured("No EST URL (-u) given")
    url = base_url(options.url, options.label)
    if bool(options.user) != bool(options.password_file):
        raise Unconfigured("HTTP authentication needs both --user and --password-file")
    if options.cacert and options.root_fingerprint:
        raise Unconfigured("Only one of --cacert and --root-fingerprint can be used")
    login = Login(user=options.user, password=secret_of_file(options.password_file)) if options.user else None
    password = secret_of_file(options.key_password_file) if options.key_password_file else None
    root = root_with_fingerprint(url, read_fingerprint(options.root_fingerprint)) if options.root_fingerprint else None
    identity = shown_identity(
        given.certificate,
        key_places=options.renewal_keys,
        password=password,
        otherwise=Shown(certificate_file=options.certificate, key_file=options.key),
    )

    def ask(client: HttpClient) -> Awaitable[_Result]:
        return task(EstServer(client=client, url=url, login=login))

    with ExitStack() as files:
        shown = files.enter_context(identity)
        tls = TlsSettings(
            ca_file=options.cacert,
            ca_data=root,
            certificate_file=shown.certificate_file,
            key_file=shown.key_file,
            key_password=password,
        )

        def prepare() -> None:
            files.close()  # they were read, and can be removed as long as the helper is their owner
            give_up()

        return run_with_client(ask, url=url, tls=tls, limits=Limits(), prepare=prepare)


def _read_request(pem: str) -> x509.CertificateSigningRequest:
    """The signing request. Raises Unconfigured."""
    if not pem.strip():
        raise Unconfigured("There is no signing request")
    try:
        return x509.load_pem_x509_csr(pem.encode())
    except ValueError as exc:
        raise Unconfigured(f"The signing request cannot be read: {exc}") from exc


def _renews(csr: x509.CertificateSigningRequest, certificate_pem: str) -> bool:
    """Whether *csr* asks for what the certificate held has: only then it is a renewal (section 4.2.2)."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        names = (certificate.extensions, csr.extensions)
    except ValueError:
        return False
    return certificate.subject == csr.subject and _alternative_names(names[0]) == _alternative_names(names[1])


def _alternative_names(extensions: x509.Extensions) -> frozenset[x509.GeneralName]:
    """The subject's other names."""
    try:
        return frozenset(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return frozenset()


HELPER: Final = Helper(
    program="est-submit",
    product="EST",
    answers={
        Operation.SUBMIT: submit,
        Operation.POLL: submit,
        Operation.FETCH_ROOTS: fetch_roots,
        Operation.GET_NEW_REQUEST_REQUIREMENTS: requirements,
        Operation.GET_RENEW_REQUEST_REQUIREMENTS: requirements,
    },
    add_options=add_options,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run once with *argv*, which excludes the program name; returns the exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
