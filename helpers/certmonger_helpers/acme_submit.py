"""acme-submit: carries requests to servers of the Automatic Certificate Management Environment (RFC 8555)."""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from certmonger_helpers.protocol import Helper, HelperInput, Operation, Reply, Unconfigured, run


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add acme-submit's options."""
    parser.add_argument("-u", "--url", metavar="URL", help="the server's directory")
    parser.add_argument("-R", "--cacert", metavar="FILE", help="CA certificates for verifying the server")
    parser.add_argument("--roots", metavar="FILE", help="PEM certificates to publish as the CA's roots")
    parser.add_argument(
        "--state-directory", metavar="DIR", help="where accounts are kept (default: /var/lib/certmonger/acme)"
    )
    account = parser.add_argument_group("account")
    account.add_argument("--agree-tos", action="store_true", help="agree to the CA's terms of service")
    account.add_argument(
        "--contact", action="append", default=[], metavar="ADDRESS", help="e-mail address or URL; may be repeated"
    )
    account.add_argument("--eab-kid", default="", metavar="ID", help="identifier of an external account")
    account.add_argument("--eab-key-file", metavar="FILE", help="file with its MAC key, base64url")
    account.add_argument("--eab-algorithm", default="HS256", choices=("HS256", "HS384", "HS512"))
    http = parser.add_argument_group("proving control of names by HTTP")
    http.add_argument("--webroot", metavar="DIR", help="root directory of the web server that has port 80")
    http.add_argument("--http-listen", metavar="[ADDRESS:]PORT", help="listen by itself (default: port 80)")
    dns = parser.add_argument_group("proving control of names by DNS")
    dns.add_argument("--dns-hook", metavar="COMMAND", help="run COMMAND present|cleanup NAME VALUE")
    dns.add_argument("--dns-update", metavar="ADDRESS[:PORT]", help="send dynamic updates to this DNS server")
    dns.add_argument("--dns-key-file", metavar="FILE", help="TSIG key, as tsig-keygen writes it")
    dns.add_argument("--dns-zone", default="", metavar="ZONE", help="zone to update (default: asked for)")
    dns.add_argument("--dns-wait", type=float, default=0.0, metavar="SECONDS", help="wait until records are published")
    parser.add_argument(
        "--wait", type=float, default=200.0, metavar="SECONDS", help="leave what takes longer to a later run"
    )
    parser.add_argument("--preferred-chain", default="", metavar="NAME", help="common name of the wanted root")
    parser.add_argument("csr_file", metavar="csrfile", nargs="?", help="file with the signing request (PEM)")


def _answers() -> ModuleType:
    """The module with the answers, whose libraries take long to load, and may be missing. Raises Unconfigured."""
    try:
        from certmonger_helpers.acme import answers
    except ModuleNotFoundError as exc:
        raise Unconfigured(
            f"The Python packages for ACME are not installed (missing: {exc.name}): pip install 'certmongerd[acme]'"
        ) from exc
    return answers


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL: create an order, or go on with one."""
    return _answer("submit", given, options)


def fetch_roots(given: HelperInput, options: argparse.Namespace) -> Reply:
    """FETCH-ROOTS: the certificates that --roots names."""
    return _answer("fetch_roots", given, options)


def profiles(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-SUPPORTED-TEMPLATES: the server's profiles."""
    return _answer("profiles", given, options)


def renewal_info(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-RENEWAL-INFO: when the server wants a certificate renewed."""
    return _answer("renewal_info", given, options)


def warm_up() -> None:
    """Load the libraries once, before many runs are forked."""
    try:
        _answers()
    except Unconfigured as exc:
        print(f"acme-submit: {exc.reason}", file=sys.stderr)


def _answer(name: str, given: HelperInput, options: argparse.Namespace) -> Reply:
    """Call one of the answers."""
    reply = getattr(_answers(), name)(given, options)
    if not isinstance(reply, Reply):
        raise TypeError(f"{name} returned no Reply")
    return reply


HELPER: Final = Helper(
    program="acme-submit",
    product="ACME",
    answers={
        Operation.SUBMIT: submit,
        Operation.POLL: submit,
        Operation.FETCH_ROOTS: fetch_roots,
        Operation.GET_SUPPORTED_TEMPLATES: profiles,
        Operation.GET_RENEWAL_INFO: renewal_info,
    },
    add_options=add_options,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run once with *argv*, which excludes the program name; returns the exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
