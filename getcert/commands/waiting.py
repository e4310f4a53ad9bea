"""The end of a command that may have been asked to wait."""

from getcert.client import Client
from getcert.context import Context
from getcert.wait import EXIT_ISSUED, wait_for_certificate


def wait_if_asked(context: Context, client: Client, path: str) -> int:
    """Wait for the certificate when -w was given; the exit status."""
    if not context.options.given("wait"):
        return EXIT_ISSUED
    limit = context.options.number("wait_timeout")
    timeout_s = None if limit is None or limit < 0 else float(limit)
    return wait_for_certificate(client, path, context.out, verbose=context.is_verbose, timeout_s=timeout_s)
