"""Command line and operations that the two Dogtag helpers have in common."""

import argparse
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from certmonger_helpers.address import http_url
from certmonger_helpers.dogtag.agent import agent_tls, has_agent, secret_of
from certmonger_helpers.dogtag.by_ipa import IpaService
from certmonger_helpers.dogtag.service import Form, Service, Submission
from certmonger_helpers.dogtag.state import Progress, Step
from certmonger_helpers.kerberos.client import from_cache, from_keytab
from certmonger_helpers.protocol import HelperInput, Operation, Reply, Unconfigured
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits, run_with_client

_log = logging.getLogger(__name__)

DEFAULT_PROFILE: Final = "caServerCert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is, and whom to trust."""

    ee_url: str = ""
    agent_url: str = ""
    ca_file: str | None = None
    host: str = ""
    """Of the IPA server; empty: this host is meant."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """certmonger's options, with its spellings."""
    add = parser.add_argument
    add("-E", "--ee-url", metavar="URL", default="", help="end-entity services")
    add("-A", "--agent-url", metavar="URL", default="", help="agent services")
    add(
        "-J",
        "--jsonrpc-url",
        metavar="URL",
        default="",
        help="IPA's JSON-RPC interface, to be used instead of Dogtag's",
    )
    add("-i", "--cafile", metavar="FILE", default="", help="trusted certificates, PEM")
    add("-C", "--capath", metavar="DIRECTORY", help="directory of trusted certificates")
    add("-d", "--dbdir", metavar="DIRECTORY", default="", help="NSS database with the agent's certificate and key")
    add("-n", "--nickname", metavar="NAME", default="", help="nickname of the agent's certificate there")
    add("-c", "--certfile", metavar="FILE", default="", help="the agent's certificate, PEM")
    add("-k", "--keyfile", metavar="FILE", default="", help="the agent's key, PEM")
    add("-p", "--sslpinfile", metavar="FILE", default="", help="file with the PIN of the agent's key")
    add("-P", "--sslpin", metavar="PIN", default="", help="the PIN itself; everybody on the host can see it")
    add("-s", "--hex-serial", metavar="NUMBER", default="", help="serial number to renew, hexadecimal")
    add("-D", "--serial", metavar="NUMBER", default="", help="serial number to renew, decimal")
    add("-o", "--submit-option", metavar="NAME=VALUE", action="append", default=[], help="parameter to submit")
    pair = "parameter to approve, in place of the server's default"
    add("-O", "--approval-option", "--approval-options", metavar="NAME=VALUE", action="append", default=[], help=pair)
    add("-T", "--profile", metavar="NAME", default="", help=f"enrolment profile (default: {DEFAULT_PROFILE})")
    add("-t", "--profile-list", action="store_true", help="list the profiles that can be used")
    add("-S", "--state", metavar="COOKIE", default="", help="go on with what an earlier run began")
    parser.set_defaults(forced="")
    new, renewal = "ask for a new certificate, do not renew", "renew, or fail"  # of both the last one counts
    add("-N", "--force-new", action="store_const", dest="forced", const="new", help=new)
    add("-R", "--force-renew", action="store_const", dest="forced", const="renewal", help=renewal)
    add("-a", "--agent-submit", action="store_true", help="submit with the agent's certificate")
    add("-u", "--uid", metavar="USERNAME", default="", help="user name to submit with")
    add("-U", "--udn", "--upn", metavar="DN", default="", help="user DN to submit with")
    add("-W", "--userpwd", metavar="PASSWORD", default="", help="the user's password; everybody can see it")
    add("-w", "--userpwdfile", metavar="FILE", default="", help="file with the user's password")
    add("-Y", "--userpin", metavar="PIN", default="", help="the user's PIN; everybody can see it")
    add("-y", "--userpinfile", metavar="FILE", default="", help="file with the user's PIN")
    add("csr_file", metavar="csrfile", nargs="?", help="file with the signing request (PEM)")


def choose_operation(given: HelperInput, options: argparse.Namespace) -> Operation | None:
    """The operation of the environment, unless an option wants the list of profiles."""
    return Operation.GET_SUPPORTED_TEMPLATES if options.profile_list else given.operation


def list_profiles(server: Server, options: argparse.Namespace) -> Reply:
    """GET-SUPPORTED-TEMPLATES."""
    if options.jsonrpc_url:
        return _with_ipa(server, options, lambda ipa: ipa.profiles())
    return _with_service(server, options, lambda service: service.profiles())


def enrol(server: Server, given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL: the next step of an enrolment."""
    if options.jsonrpc_url:
        return _enrol_by_ipa(server, given, options)
    approvals = dict(_pairs(options.approval_option, "Approval params (-O)"))
    if approvals and not (server.agent_url and has_agent(options)):
        raise Unconfigured("No agent URL (-A) given, or no agent credentials specified, which -O needs.")
    if options.agent_submit and not has_agent(options):
        raise Unconfigured("No agent credentials specified, and no default known.")
    progress = Progress.of_cookie(options.state or given.ca_cookie)
    match progress.step:
        case Step.SUBMIT:
            submission = _submission(given, options)
            return _with_service(server, options, lambda service: service.submit(submission))
        case Step.CHECK:
            return _with_service(server, options, lambda service: service.check(progress.request_id))
        case Step.APPROVE:
            if not server.agent_url:
                raise Unconfigured("No agent URL (-A) given, and no default known.")
            return _with_service(server, options, lambda service: service.approve(progress.request_id, approvals))
        case Step.RETRIEVE:
            return _with_service(server, options, lambda service: service.retrieve(progress.request_id))


def _enrol_by_ipa(server: Server, given: HelperInput, options: argparse.Namespace) -> Reply:
    """The next step, through IPA's interface, which knows neither users of Dogtag nor renewal by number."""
    if _credentials(options):
        raise Unconfigured(
            "IPA's interface (-J) has no place for user names, passwords and PINs of Dogtag (-u, -U, …)."
        )
    progress = Progress.of_cookie(options.state or given.ca_cookie)
    match progress.step:
        case Step.SUBMIT:
            submission = _submission(given, options)
            if submission.serial is not None:
                raise Unconfigured("Renewal by serial number is not possible through IPA's interface (-J); add -N.")
            _pairs(options.approval_option, "Approval params (-O)")
            if options.submit_option or options.approval_option:
                _log.info("parameters for submission and approval have no place in IPA's interface and are left out")
            return _with_ipa(server, options, lambda ipa: ipa.submit(submission.csr, submission.profile))
        case Step.CHECK:
            return _with_ipa(server, options, lambda ipa: ipa.check(progress.request_id))
        case Step.APPROVE:
            return _with_ipa(server, options, lambda ipa: ipa.approve(progress.request_id))
        case Step.RETRIEVE:
            return _with_ipa(server, options, lambda ipa: ipa.retrieve(progress.request_id))


def _with_ipa(server: Server, options: argparse.Namespace, task: Callable[[IpaService], Awaitable[Reply]]) -> Reply:
    """Run *task* with IPA's interface, logged in by Kerberos: with the tickets that are there, or the host's key."""
    url = http_url(options.jsonrpc_url, "JSON-RPC URL")
    tls = TlsSettings(ca_file=server.ca_file, ca_directory=options.capath)
    with from_cache() if os.environ.get("KRB5CCNAME") else from_keytab("", "") as login:

        def ask(client: HttpClient) -> Awaitable[Reply]:
            return task(
                IpaService(
                    client=client,
                    url=url,
                    login=login,
                    principal=f"host/{server.host or socket.getfqdn()}",
                    can_approve=has_agent(options),
                )
            )

        return run_with_client(ask, url=url, tls=tls, limits=Limits())


def _with_service(server: Server, options: argparse.Namespace, task: Callable[[Service], Awaitable[Reply]]) -> Reply:
    """Run *task* with the server, within the limits of a run."""
    if not server.ee_url:
        raise Unconfigured("No end-entity URL (-E) given, and no default known.")
    http_url(server.ee_url, "end-entity URL")
    limits = Limits()
    agent: HttpClient | None = None
    if has_agent(options):
        with agent_tls(options, server.ca_file) as agent_settings:
            agent = HttpClient(tls=agent_settings, limits=limits)

    async def with_clients(client: HttpClient) -> Reply:
        async with AsyncExitStack() as clients:
            return await task(
                Service(
                    client=client,
                    ee_url=server.ee_url,
                    agent=await clients.enter_async_context(agent) if agent is not None else None,
                    agent_url=server.agent_url,
                    submits_as_agent=options.agent_submit,
                )
            )

    tls = TlsSettings(ca_file=server.ca_file, ca_directory=options.capath)
    return run_with_client(with_clients, url=server.ee_url, tls=tls, limits=limits)


def _submission(given: HelperInput, options: argparse.Namespace) -> Submission:
    """What to submit. Raises Unconfigured."""
    serial = None if options.forced == "new" else _serial(given, options)
    if options.forced == "renewal" and serial is None:
        raise Unconfigured("Requested renewal, but no serial number provided.")
    csr = given.read_csr(options.csr_file) if serial is None else ""
    if serial is None and not csr.strip():
        raise Unconfigured('Unable to read signing request from environment variable "CERTMONGER_CSR".')
    return Submission(
        profile=options.profile or given.ca_profile or DEFAULT_PROFILE,
        csr=csr,
        serial=serial,
        credentials=_credentials(options),
        extra=_pairs(options.submit_option, "Submit params (-o)"),
    )


def _serial(given: HelperInput, options: argparse.Namespace) -> int | None:
    """The number of the certificate to renew, if there is one. Raises Unconfigured."""
    try:
        if options.hex_serial:
            return int(options.hex_serial, 16)
        if options.serial:
            return int(options.serial, 10)
    except ValueError as exc:
        raise Unconfigured(f'"{options.hex_serial or options.serial}" is not a serial number') from exc
    if not given.certificate.strip():
        return None
    try:
        return x509.load_pem_x509_certificate(given.certificate.encode()).serial_number
    except ValueError as exc:
        raise Unconfigured("CERTMONGER_CERTIFICATE is not a certificate") from exc


def _credentials(options: argparse.Namespace) -> Form:
    """The user's name, password and PIN, as far as given. Raises Unconfigured."""
    password = secret_of(options.userpwd, options.userpwdfile)
    pin = secret_of(options.userpin, options.userpinfile)
    values = (
        ("uid", options.uid),
        ("udn", options.udn),
        ("pwd", password.reveal() if password else ""),
        ("pin", pin.reveal() if pin else ""),
    )
    return [(name, value) for name, value in values if value]


def _pairs(given: list[str], what: str) -> list[tuple[str, str]]:
    """Options of the form NAME=VALUE. Raises Unconfigured."""
    pairs = [text.partition("=") for text in given]
    if not all(separator and name for name, separator, _ in pairs):
        raise Unconfigured(f"{what} must be in the form of param=value.")
    return [(name, value) for name, _, value in pairs]
