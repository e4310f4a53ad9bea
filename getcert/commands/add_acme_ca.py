"""getcert add-acme-ca: make a CA known that is reached by ACME (RFC 8555)."""

from typing import Final

from getcert.commands.add_ca import required_ca_name
from getcert.commands.helper_command import add, given_options
from getcert.context import Context
from getcert.errors import UsageError
from getcert.help import Groups

GROUPS: Final[Groups] = (
    ("The CA", ("ca", "acme_url", "tls_ca_cert", "roots_file", "preferred_chain")),
    ("Account", ("agree_tos", "contact", "eab_kid", "eab_key_file")),
    ("Proving control of names by HTTP", ("webroot", "http_listen")),
    ("Proving control of names by DNS", ("dns_hook", "dns_update", "dns_key_file", "dns_zone", "dns_wait")),
)
HIDDEN: Final = ()

_HELPER: Final = "acme-submit"
_TEXTS: Final = (
    ("contact", "--contact"),
    ("eab_kid", "--eab-kid"),
    ("http_listen", "--http-listen"),
    ("dns_hook", "--dns-hook"),
    ("dns_update", "--dns-update"),
    ("dns_zone", "--dns-zone"),
    ("dns_wait", "--dns-wait"),
    ("preferred_chain", "--preferred-chain"),
)
_FILES: Final = (
    ("tls_ca_cert", "-R"),
    ("roots_file", "--roots"),
    ("eab_key_file", "--eab-key-file"),
    ("webroot", "--webroot"),
    ("dns_key_file", "--dns-key-file"),
)


def run(context: Context) -> int:
    """Add the CA with the ACME helper as its command."""
    name = required_ca_name(context)
    url = context.options.text("acme_url")
    if url is None:
        raise UsageError("server URL not specified.")
    if context.options.given("eab_kid") != context.options.given("eab_key_file"):
        raise UsageError("An external account needs both --eab-kid and --eab-key-file.")
    words = ["-u", url, *given_options(context, texts=_TEXTS, files=_FILES)]
    if context.options.given("agree_tos"):
        words.append("--agree-tos")
    return add(context, name, _HELPER, words)
