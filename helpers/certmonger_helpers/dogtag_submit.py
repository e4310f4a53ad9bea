"""dogtag-submit: carries requests to Dogtag Certificate System."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from certmonger_helpers.dogtag.program import Server, add_options, choose_operation, enrol, list_profiles
from certmonger_helpers.protocol import Helper, HelperInput, Operation, Reply, run
from certmonger_helpers.transport import load_library


def _server(options: argparse.Namespace) -> Server:
    """What the options say."""
    return Server(ee_url=options.ee_url, agent_url=options.agent_url, ca_file=options.cafile or None)


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL."""
    return enrol(_server(options), given, options)


def templates(given: HelperInput, options: argparse.Namespace) -> Reply:
    """GET-SUPPORTED-TEMPLATES."""
    del given
    return list_profiles(_server(options), options)


HELPER: Final = Helper(
    program="dogtag-submit",
    product="Dogtag",
    answers={Operation.SUBMIT: submit, Operation.POLL: submit, Operation.GET_SUPPORTED_TEMPLATES: templates},
    add_options=add_options,
    choose_operation=choose_operation,
)


warm_up: Final = load_library


def main(argv: Sequence[str] | None = None) -> int:
    """Run once with *argv*, which excludes the program name; returns the exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
