"""The answers of acme-submit."""

import argparse
import logging
import shlex
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509

from certmonger_helpers.acme.account import Account, AccountFile, Registration, ensure_account, forget_account_url
from certmonger_helpers.acme.challenges import Responder
from certmonger_helpers.acme.dns01 import DnsResponder, Hook, Records
from certmonger_helpers.acme.dns_update import DnsUpdate, read_tsig_key
from certmonger_helpers.acme.http01 import Listener, Webroot
from certmonger_helpers.acme.keeper import Keeper
from certmonger_helpers.acme.order import Chain, OrderWork, Pending, identifiers_of, new_order, read_signing_request
from certmonger_helpers.acme.order_file import OrderFile
from certmonger_helpers.acme.problems import AcmeProblem
from certmonger_helpers.acme.renewal_info import (
    certificate_identifier,
    fetch_renewal_info,
    offers_renewal_info,
    read_certificate,
)
from certmonger_helpers.acme.session import Json, Session
from certmonger_helpers.address import http_url
from certmonger_helpers.outcome import ExitStatus, HelperError, Unconfigured, Unreachable
from certmonger_helpers.privileges import can_give_up, give_up, hand_over
from certmonger_helpers.protocol import HelperInput, Reply
from certmonger_helpers.roots import roots_of_file
from certmonger_helpers.secret_file import secret_of_file
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits, run_with_client

_log = logging.getLogger(__name__)

DEFAULT_DIRECTORY: Final = "/var/lib/certmonger/acme"
_HTTP_PORT: Final = 80
_DNS_PORT: Final = 53
_MARGIN_S: Final = 20.0
"""What is left of a run's time when waiting for the server ends."""
_UNKNOWN_ORDER: Final = frozenset({404, 410})
_Result = TypeVar("_Result")


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL: do for the request's order what it waits for, and fetch the certificate.

    The order's URL is the cookie. It is also kept in a file, for a run that is cut off before it can say so.
    """
    csr_pem = given.read_csr(options.csr_file)
    csr = read_signing_request(csr_pem)
    responders = _responders(given, options)
    registration = _registration(options)
    directory = _state_directory(given, options)
    deadline = time.monotonic() + min(options.wait, Limits().run_s - _MARGIN_S)

    async def work(session: Session, account: Account) -> Reply:
        kept = OrderFile.of_request(directory, session.directory_url, csr_pem)

        async def go_on(url: str) -> Reply | None:
            order_work = OrderWork(
                session=session,
                account=account,
                url=url,
                csr=csr,
                responders=responders,
                preferred_chain=options.preferred_chain or given.ca_issuer,
                deadline=deadline,
            )
            return await _go_on(order_work)

        known = given.ca_cookie.strip() or kept.load()
        try:
            reply = await go_on(http_url(known, "cookie")) if known else None
            if reply is None:
                wanted = await _wanted(session, csr, given.ca_profile)
                url = await _new_order(session, account, wanted, given.certificate)
                kept.save(url)
                reply = await go_on(url)
        except HelperError as error:
            if error.status is ExitStatus.REJECTED:
                kept.forget()
            raise
        if reply is None:
            raise Unreachable("The server does not know the order that it has just made")
        if reply.status is ExitStatus.ISSUED:
            kept.forget()
        return reply

    def prepare() -> None:
        if hand_over(directory):
            give_up(keeps_ports=True)

    async def with_account(session: Session) -> Reply:
        return await _with_account(AccountFile.of_server(directory, session.directory_url), registration, session, work)

    return _with_session(options, with_account, prepare)


async def _wanted(session: Session, csr: x509.CertificateSigningRequest, profile: str) -> Json:
    """What a new order asks for. Raises Unconfigured for a profile that the server does not say it has."""
    wanted: Json = {"identifiers": identifiers_of(csr)}
    if profile:
        offered = (await session.meta()).get("profiles")
        if not (isinstance(offered, dict) and profile in offered):
            known = ", ".join(offered) if isinstance(offered, dict) and offered else "none"
            raise Unconfigured(f'The CA has no profile "{profile}" (-T); it has: {known}')
        wanted["profile"] = profile
    return wanted


async def _go_on(work: OrderWork) -> Reply | None:
    """The answer for an order; None when there has to be another one: it is gone, or it failed for a passing reason."""
    try:
        order, response = await work.fetch()
    except AcmeProblem as problem:
        if problem.http_status in _UNKNOWN_ORDER:
            return None
        raise
    if order.get("status") == "invalid":
        failure = await work.failure(order)
        if failure.status is ExitStatus.UNREACHABLE:
            return None  # it was reported when it happened, and is worth another attempt
        raise failure
    match await work.finish(order, response):
        case Chain(pem=pem):
            return Reply(output=pem)
        case Pending(delay_s=delay_s):
            return Reply.later(work.url, delay_s)


def renewal_info(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-RENEWAL-INFO: when the server wants the certificate renewed; without one, whether it tells that at all."""

    async def ask(session: Session) -> Reply:
        if not await offers_renewal_info(session):
            return Reply(status=ExitStatus.OPERATION_NOT_SUPPORTED)
        if not given.certificate:
            return Reply()
        return Reply(output=await fetch_renewal_info(session, read_certificate(given.certificate)))

    return _with_session(options, ask)


async def _new_order(session: Session, account: Account, wanted: Json, certificate: str) -> str:
    """Create an order that replaces the *certificate* held (RFC 9773, section 5), or one that replaces nothing.

    A renewal that the server can tell as such does not count against its limits. It may refuse that for a certificate
    of another CA, or one that was replaced already.
    """
    if certificate and await offers_renewal_info(session):
        try:
            replaced = certificate_identifier(read_certificate(certificate))
            return await new_order(session, account, wanted | {"replaces": replaced})
        except HelperError as error:
            if error.status is not ExitStatus.REJECTED:
                raise
            _log.info("an order that replaces the certificate held is not possible: %s", error.reason)
    return await new_order(session, account, wanted)


def fetch_roots(given: HelperInput, options: argparse.Namespace) -> Reply:
    """FETCH-ROOTS: the file that --roots names. The protocol itself has no way to tell roots that can be trusted."""
    del given
    if options.roots is None:
        return Reply(status=ExitStatus.OPERATION_NOT_SUPPORTED)
    return Reply(output=roots_of_file(options.roots))


def profiles(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-SUPPORTED-TEMPLATES: the profiles of the server's directory (draft-ietf-acme-profiles)."""
    del given

    async def ask(session: Session) -> Reply:
        offered = (await session.meta()).get("profiles")
        if not isinstance(offered, dict) or not offered:
            return Reply(status=ExitStatus.OPERATION_NOT_SUPPORTED)
        return Reply(output="".join(f"{name}\n" for name in offered))

    return _with_session(options, ask)


async def _with_account(
    file: AccountFile,
    wanted: Registration,
    session: Session,
    task: Callable[[Session, Account], Awaitable[_Result]],
) -> _Result:
    """Run *task* with the account, created when there is none, or when the server has forgotten it."""
    account = await ensure_account(session, file, wanted)
    try:
        return await task(session, account)
    except AcmeProblem as problem:
        if problem.code != "accountDoesNotExist":
            raise
    await forget_account_url(file, account)
    return await task(session, await ensure_account(session, file, wanted))


def _with_session(
    options: argparse.Namespace,
    task: Callable[[Session], Awaitable[_Result]],
    prepare: Callable[[], None] = give_up,
) -> _Result | Reply:
    """Run *task* with the server that the options name. A rate limit with a date is an answer, too: come again then."""
    if not options.url:
        raise Unconfigured("No directory URL (-u) given")
    url = http_url(options.url, "directory URL")

    def ask(client: HttpClient) -> Awaitable[_Result]:
        return task(Session(client, url))

    try:
        return run_with_client(ask, url=url, tls=TlsSettings(ca_file=options.cacert), limits=Limits(), prepare=prepare)
    except AcmeProblem as problem:
        return _rate_limited(problem)


def _rate_limited(problem: AcmeProblem) -> Reply:
    """Wait as long as the server says when it has had too many requests. Raises the problem when it does not say."""
    if problem.code != "rateLimited" or not problem.retry_after_s:
        raise problem
    print(f"acme-submit: {problem.reason}; asked again in {problem.retry_after_s} seconds", file=sys.stderr)
    return Reply.later("", problem.retry_after_s)


def _state_directory(given: HelperInput, options: argparse.Namespace) -> Path:
    """Where accounts are kept: beside the local CA's directory, which is where the daemon keeps its state."""
    if options.state_directory:
        return Path(options.state_directory)
    return Path(given.local_ca_dir).parent / "acme" if given.local_ca_dir else Path(DEFAULT_DIRECTORY)


def _registration(options: argparse.Namespace) -> Registration:
    """What an account is created with. Raises Unconfigured."""
    if bool(options.eab_kid) != bool(options.eab_key_file):
        raise Unconfigured("An external account needs both --eab-kid and --eab-key-file")
    return Registration(
        contact=tuple(each if ":" in each else f"mailto:{each}" for each in options.contact),
        agrees_to_terms=options.agree_tos,
        eab_kid=options.eab_kid,
        eab_key=secret_of_file(options.eab_key_file) if options.eab_key_file else None,
        eab_algorithm=options.eab_algorithm,
    )


def _responders(given: HelperInput, options: argparse.Namespace) -> list[Responder]:
    """The ways of proving control that are set up, the preferred one first: HTTP where anything says so, else DNS."""
    webroot = Webroot(directory=Path(options.webroot)) if options.webroot else None
    hook = Hook(command=options.dns_hook) if options.dns_hook else None
    if (webroot or hook) and can_give_up():
        keeper = Keeper({**(webroot.tasks if webroot else {}), **(hook.tasks if hook else {})})
        webroot = replace(webroot, keeper=keeper) if webroot else None
        hook = replace(hook, keeper=keeper) if hook else None
    dns = _dns_responders(options, hook)
    responders: list[Responder] = []
    if webroot:
        responders.append(webroot)
    elif options.http_listen or not dns:
        address, port = _endpoint(options.http_listen or str(_HTTP_PORT), _HTTP_PORT, "--http-listen")
        lock = _state_directory(given, options) / f"http-01-{port}.lock"
        responders.append(Listener(address=address or None, port=port, lock=lock))
    return responders + dns


def _dns_responders(options: argparse.Namespace, hook: Hook | None) -> list[Responder]:
    """The way by DNS, if one is set up."""
    if not options.dns_hook and not options.dns_update:
        return []
    if options.dns_hook and options.dns_update:
        raise Unconfigured("Only one of --dns-hook and --dns-update can be used")
    if hook is not None:
        records: Records = hook
    else:
        address, port = _endpoint(options.dns_update, _DNS_PORT, "--dns-update")
        key = read_tsig_key(options.dns_key_file) if options.dns_key_file else None
        records = DnsUpdate(server=address, port=port, key=key, zone=options.dns_zone)
    return [DnsResponder(records=records, wait_s=max(options.dns_wait, 0.0))]


def _endpoint(text: str, default_port: int, option: str) -> tuple[str, int]:
    """Address and port of `ADDRESS:PORT`, `[ADDRESS]:PORT`, or one of both alone. Raises Unconfigured."""
    if text.isdecimal():
        address, port_text = "", text
    elif text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port_text = rest.removeprefix(":") or str(default_port)
    elif text.count(":") == 1:
        address, _, port_text = text.partition(":")
    else:
        address, port_text = text, str(default_port)
    if not port_text.isdecimal() or not 0 < int(port_text) < 65536:
        raise Unconfigured(f"{shlex.quote(text)} ({option}) has no usable port")
    return address, int(port_text)
