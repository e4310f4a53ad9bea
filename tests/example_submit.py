#!/usr/bin/env python3
"""example-submit: sends signing requests to a CA that answers each POST with a certificate, or with 202."""

import argparse
import sys

from certmonger_helpers.protocol import Helper, HelperInput, Operation, Rejected, Reply, Unreachable, run
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpRequest, Limits, run_with_client


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the helper needs to know."""
    parser.add_argument("-u", "--url", required=True, help="address of the CA")


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """SUBMIT and POLL."""
    request = HttpRequest(url=options.url, method="POST", body=given.read_csr().encode(), max_bytes=100_000)
    answer = run_with_client(lambda client: client.send(request), url=options.url, tls=TlsSettings(), limits=Limits())
    if answer.status == 202:
        return Reply.later("as before", delay_s=600)
    if answer.is_retryable:
        raise Unreachable(f"The CA is out of order: {answer.first_line}")
    if answer.status != 200:
        raise Rejected(f"The CA refuses: {answer.first_line}")
    return Reply(output=answer.body)


answers = {Operation.SUBMIT: submit, Operation.POLL: submit}
HELPER = Helper(program="example-submit", product="Example CA", answers=answers, add_options=add_options)

if __name__ == "__main__":
    sys.exit(run(HELPER))
