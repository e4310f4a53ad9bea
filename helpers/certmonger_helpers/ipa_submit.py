"""ipa-submit: carries requests to FreeIPA's JSON-RPC interface."""

import argparse
import base64
import logging
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from certmonger_helpers.ipa import rpc
from certmonger_helpers.ipa.directory import Directory
from certmonger_helpers.ipa.discovery import first_answer, load_resolver
from certmonger_helpers.ipa.server import Login, Password, call
from certmonger_helpers.ipa.settings import (
    DEFAULT_CA_FILE,
    DEFAULT_CONFIG,
    IpaSettings,
    default_ca_file,
    ipa_settings,
    read_config,
)
from certmonger_helpers.kerberos.client import Identity, from_cache, from_keytab
from certmonger_helpers.privileges import can_give_up, entrust, give_up
from certmonger_helpers.protocol import (
    Helper,
    HelperError,
    HelperInput,
    Operation,
    Reply,
    Unconfigured,
    build_parser,
    run,
)
from certmonger_helpers.secret_file import secret_of_file
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits, load_library, run_with_client
from certmongerd.core.secret import Secret
from certmongerd.pki.pem import pem_blocks

_log = logging.getLogger(__name__)

REQUIREMENTS: Final = ("CERTMONGER_REQ_PRINCIPAL", "CERTMONGER_REQ_SUBJECT")
ROOT_NICKNAME: Final = "IPA CA"
_Result = TypeVar("_Result")


def add_options(parser: argparse.ArgumentParser) -> None:
    """certmonger's options, with its spellings."""
    add = parser.add_argument
    add("-h", "--host", metavar="HOSTNAME", default="", help="IPA server")
    add("-d", "--domain", metavar="NAME", default="", help="IPA domain, for finding servers by DNS")
    add("-J", "--jsonrpc-url", metavar="URL", default="", help="address of the JSON-RPC interface")
    add("-H", "--xmlrpc-url", metavar="URL", dest="jsonrpc_url", help="the same as -J, by its historic name")
    add(
        "-L",
        "--ldap-url",
        metavar="URL",
        default="",
        help="LDAP service with the CA's certificates; its host is a further server",
    )
    add("-b", "--basedn", metavar="DN", default="", help="base of the LDAP directory (default: from the domain)")
    add("-c", "--cafile", metavar="FILE", default="", help=f"trusted certificates, PEM (default: {DEFAULT_CA_FILE})")
    add("-C", "--capath", metavar="DIRECTORY", help="directory of trusted certificates")
    add("-t", "--keytab-name", "--keytab", metavar="KEYTAB", dest="keytab", default="", help="keytab to log in with")
    add("-k", "--submitter-principal", metavar="PRINCIPAL", default="", help="Kerberos principal to log in as")
    add("-K", "--use-ccache-creds", action="store_true", help="log in with the tickets of the default cache")
    add("-u", "--uid", metavar="USERNAME", default="", help="log in as this user, with a password")
    add("-W", "--pwd", metavar="PASSWORD", default="", help="the password; everybody on the host can see it")
    add("-w", "--pwdfile", metavar="FILE", default="", help="file with the password")
    add("-P", "--principal-of-request", metavar="PRINCIPAL", default="", help="principal the certificate is for")
    add("-T", "--profile", metavar="NAME", default="", help="certificate profile")
    add("-X", "--issuer", metavar="NAME", default="", help="CA that is to issue it")
    add("--config", metavar="FILE", default=DEFAULT_CONFIG, help=f"IPA's configuration (default: {DEFAULT_CONFIG})")
    add("csr_file", metavar="csrfile", nargs="?", help="file with the signing request (PEM)")


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL: `cert_request`; FreeIPA issues or refuses at once."""
    _check_conflicts(options)
    csr = given.read_csr(options.csr_file)
    block = next((block for block in pem_blocks(csr) if block.label.endswith("CERTIFICATE REQUEST")), None)
    if block is None:
        raise _usage_error("Unable to read signing request." if csr.strip() else "There is no signing request.")
    principal = options.principal_of_request or next(iter(given.req_principal), "")
    if not principal:
        raise _usage_error("Unable to determine principal name for signing request.")
    request = rpc.CertRequest(
        csr_base64=base64.b64encode(block.der).decode("ascii"),
        principal=principal,
        profile=options.profile or given.ca_profile,
        issuer=options.issuer or given.ca_issuer,
    )

    async def send(client: HttpClient, url: str, login: Login) -> str:
        current = request
        while True:
            try:
                return rpc.issued_certificate(await call(client, url, current.encode(), login), url)
            except rpc.UnknownOption:
                simpler = current.simpler()
                if simpler is None:
                    raise
                current = simpler

    with _login(options) as login:
        return Reply(output=_ask_servers(options, login, send))


def fetch_roots(given: HelperInput, options: argparse.Namespace) -> Reply:
    """FETCH-ROOTS: certificate and chain of the main CA from the API, over verified TLS, and those of the directory."""
    del given
    _check_conflicts(options)
    settings = ipa_settings(options, read_config(options.config))
    if not settings.domain:
        raise Unconfigured("No IPA domain configured, and none specified.")

    async def send(client: HttpClient, url: str, login: Login) -> tuple[str, ...]:
        return rpc.ca_certificates(await call(client, url, rpc.ca_show_call(), login), url)

    folder = Path(tempfile.mkdtemp(prefix="ipa-"))
    try:
        with _login(options, cache=f"FILE:{folder}/cache") as login:
            entrust(folder)
            realm = login.realm if isinstance(login, Identity) else ""
            failure: HelperError | None = None
            certificates: tuple[str, ...] = ()
            try:
                certificates = _ask_servers(options, login, send)
            except HelperError as error:
                failure = error
            certificates = tuple(dict.fromkeys([*certificates, *_of_directory(settings, login)]))
    finally:
        # Whoever gave up what root has cannot remove the empty folder from a directory that is root's alone.
        shutil.rmtree(folder, ignore_errors=True)
    if failure is not None and not certificates:
        raise failure
    nickname = f"{realm} {ROOT_NICKNAME}".strip()
    return Reply(output="".join(f"{nickname}\n{pem}" for pem in certificates))


def _of_directory(settings: IpaSettings, login: Login) -> tuple[str, ...]:
    """The CA certificates in LDAP; none when it cannot be asked, which is logged."""
    if not isinstance(login, Identity) or not settings.ldap_url or not settings.base_dn:
        return ()
    try:
        return Directory(settings.ldap_url, settings.base_dn).ca_certificates(login)
    except HelperError as error:
        _log.info("%s", error.reason)
        return ()


def _ask_servers(
    options: argparse.Namespace, login: Login, send: Callable[[HttpClient, str, Login], Awaitable[_Result]]
) -> _Result:
    """Ask one server after the other until one can be asked. Raises the first one's error when none can."""
    settings = ipa_settings(options, read_config(options.config))
    tls = TlsSettings(ca_file=default_ca_file(options), ca_directory=options.capath)

    def ask(client: HttpClient) -> Awaitable[_Result]:
        return first_answer(settings, lambda url: send(client, url, login))

    def prepare() -> None:
        if settings.domain and can_give_up():
            load_resolver()
        give_up()

    return run_with_client(ask, url=settings.url or settings.domain, tls=tls, limits=Limits(), prepare=prepare)


@contextmanager
def _login(options: argparse.Namespace, *, cache: str = "") -> Iterator[Login]:
    """How to log in; new tickets are put into *cache*. Raises Unconfigured or Unreachable."""
    if options.uid:
        yield Password(options.uid, _password_of(options))
        return
    if options.use_ccache_creds:
        source = from_cache(cache=cache)
    else:
        source = from_keytab(options.keytab, options.submitter_principal, cache=cache)
    with source as identity:
        yield identity


def _password_of(options: argparse.Namespace) -> Secret:
    """The password given. Raises Unconfigured."""
    return Secret(options.pwd) if options.pwd else secret_of_file(options.pwdfile)


def _check_conflicts(options: argparse.Namespace) -> None:
    """Raise Unconfigured for options that exclude each other."""
    kerberos = {"-t": options.keytab, "-k": options.submitter_principal}
    has_password = bool(options.pwd or options.pwdfile)
    for name, value in kerberos.items():
        if value and options.use_ccache_creds:
            raise _usage_error(f"The {name} option can not be used with the -K option.")
    if bool(options.uid) != has_password:
        raise _usage_error("Both -u and -W/-w options should be specified.")
    for name, value in {**kerberos, "-K": options.use_ccache_creds}.items():
        if value and options.uid:
            raise _usage_error(f"The {name} option can not be used with the -u option.")
    if options.pwd and options.pwdfile:
        raise _usage_error("The -W option can not be used with the -w option.")


def _usage_error(line: str) -> Unconfigured:
    """*line* followed by the usage."""
    return Unconfigured(f"{line}\n{build_parser(HELPER).format_usage()}")


def requirements(given: HelperInput, options: argparse.Namespace) -> Reply:
    """What a new request needs."""
    del given, options
    return Reply(output="".join(f"{name}\n" for name in REQUIREMENTS))


HELPER: Final = Helper(
    program="ipa-submit",
    product="IPA",
    answers={
        Operation.SUBMIT: submit,
        Operation.POLL: submit,
        Operation.FETCH_ROOTS: fetch_roots,
        Operation.GET_NEW_REQUEST_REQUIREMENTS: requirements,
    },
    add_options=add_options,
)


warm_up: Final = load_library


def main(argv: Sequence[str] | None = None) -> int:
    """Run once with *argv*, which excludes the program name; returns the exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
