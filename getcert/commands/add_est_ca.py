"""getcert add-est-ca: make a CA known that is reached by Enrollment over Secure Transport (RFC 7030)."""

from typing import Final

from getcert.commands.add_ca import required_ca_name
from getcert.commands.helper_command import add, given_options
from getcert.context import Context
from getcert.errors import UsageError
from getcert.help import Groups

GROUPS: Final[Groups] = (
    ("The CA", ("ca", "est_url", "est_label", "tls_ca_cert", "root_fingerprint")),
    ("Who asks: a user", ("login_user", "login_password_file")),
    ("Who asks: a certificate", ("tls_certificate", "tls_key", "renewal_keys", "tls_key_password_file")),
)
HIDDEN: Final = ()

_HELPER: Final = "est-submit"
_TEXTS: Final = (
    ("est_label", "--label"),
    ("root_fingerprint", "--root-fingerprint"),
    ("login_user", "--user"),
)
_FILES: Final = (
    ("tls_ca_cert", "-R"),
    ("login_password_file", "--password-file"),
    ("tls_certificate", "--certificate"),
    ("tls_key", "--key"),
    ("renewal_keys", "--renewal-keys"),
    ("tls_key_password_file", "--key-password-file"),
)


def run(context: Context) -> int:
    """Add the CA with the EST helper as its command."""
    options = context.options
    name = required_ca_name(context)
    url = options.text("est_url")
    if url is None:
        raise UsageError("server URL not specified.")
    if options.given("login_user") != options.given("login_password_file"):
        raise UsageError("HTTP authentication needs both --user and --password-file.")
    if options.given("tls_key") and not options.given("tls_certificate"):
        raise UsageError("There is a key for TLS, but no certificate.")
    if options.given("tls_ca_cert") and options.given("root_fingerprint"):
        raise UsageError("Both CA certificates and a fingerprint are given to check the server with.")
    return add(context, name, _HELPER, ["-u", url, *given_options(context, texts=_TEXTS, files=_FILES)])
