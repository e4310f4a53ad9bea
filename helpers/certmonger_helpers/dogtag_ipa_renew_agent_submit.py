"""dogtag-ipa-renew-agent-submit: carries requests to the Dogtag of an IPA server, and approves them as an agent."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from certmonger_helpers.dogtag import program
from certmonger_helpers.dogtag.agent import has_agent
from certmonger_helpers.dogtag.program import Server
from certmonger_helpers.ipa.settings import DEFAULT_CA_FILE, DEFAULT_CONFIG, read_config
from certmonger_helpers.protocol import Helper, HelperInput, Operation, Reply, Unconfigured, run
from certmonger_helpers.transport import load_library

_OLD_PORTS: Final = (9180, 9443)
_PORTS: Final = (8080, 8443)
_FIRST_WITH_NEW_PORTS: Final = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of both helpers, and where IPA says what."""
    program.add_options(parser)
    parser.add_argument("-V", "--dogtag-version", metavar="NUMBER", default="", help="version of Dogtag, for its ports")
    parser.add_argument(
        "--config", metavar="FILE", default=DEFAULT_CONFIG, help=f"IPA's configuration (default: {DEFAULT_CONFIG})"
    )


def _server(options: argparse.Namespace) -> Server:
    """What the options say, and IPA's configuration where they say nothing. Raises Unconfigured."""
    config = read_config(options.config)
    host = config.get("host", "")
    version = options.dogtag_version or config.get("dogtag_version", "")
    try:
        ee_port, agent_port = _PORTS if version and int(version) >= _FIRST_WITH_NEW_PORTS else _OLD_PORTS
    except ValueError as exc:
        raise Unconfigured(f'"{version}" is not a version of Dogtag') from exc
    server = Server(
        ee_url=options.ee_url or (f"http://{host}:{ee_port}/ca/ee/ca" if host else ""),
        agent_url=options.agent_url or (f"https://{host}:{agent_port}/ca/agent/ca" if host else ""),
        host=host,
        ca_file=options.cafile or (DEFAULT_CA_FILE if not options.capath and Path(DEFAULT_CA_FILE).exists() else None),
    )
    if options.jsonrpc_url:
        return server
    if not has_agent(options):
        raise Unconfigured("NSS database and nickname or certfile and keyfile must be provided.")
    if not server.ee_url:
        raise Unconfigured("No end-entity URL (-E) given, and no default known.")
    if not server.agent_url:
        raise Unconfigured("No agent URL (-A) given, and no default known.")
    return server


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL."""
    return program.enrol(_server(options), given, options)


def templates(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-SUPPORTED-TEMPLATES."""
    del given
    return program.list_profiles(_server(options), options)


HELPER: Final = Helper(
    program="dogtag-ipa-renew-agent-submit",
    product="Dogtag (IPA,renew,agent)",
    answers={Operation.SUBMIT: submit, Operation.POLL: submit, Operation.GET_SUPPORTED_TEMPLATES: templates},
    add_options=add_options,
    choose_operation=program.choose_operation,
)


warm_up: Final = load_library


def main(argv: Sequence[str] | None = None) -> int:
    """Run once with *argv*, which excludes the program name; returns the exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
