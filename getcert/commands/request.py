"""getcert request: make a key where there is none, and ask a CA for a certificate."""

from typing import Final

from certmongerd.busapi.transport import Variant
from getcert.commands.groups import ACCESS, FROM_CA, IN_DATABASE, IN_FILES, NAMES, NOTIFICATION, SAVING, WAITING
from getcert.commands.waiting import wait_if_asked
from getcert.context import Context
from getcert.errors import CommandFailed, UsageError
from getcert.help import Groups
from getcert.krb5 import host_principal, read_default_realm
from getcert.names import default_names
from getcert.paths import file_location, is_pkcs11
from getcert.selection import Selection, read_selection, require_location
from getcert.values import Values, check_key_type, key_values, template_values, text, texts

GROUPS: Final[Groups] = (
    IN_DATABASE,
    IN_FILES,
    ACCESS,
    ("Key and renewal", ("key_type", "key_size", "renew", "no_renew", "assigned_id")),
    ("The CA", FROM_CA),
    ("The request", ("subject", *NAMES)),
    SAVING,
    NOTIFICATION,
    WAITING,
)
HIDDEN: Final = ()

_IPA: Final = "IPA"
_NAMING: Final = ("subject", "dns", "email", "extended_key_usage", "principal", "ip_address")
"""Options of which any one switches the default names off, key usage not among them."""


def storage_values(selection: Selection, key_file: str | None, *, no_key: Values) -> Values:
    """Where key and certificate are; *no_key* is what to say when there is no key."""
    if selection.database is not None:
        values: Values = {}
        for what in ("KEY", "CERT"):
            values[f"{what}_STORAGE"] = text("NSSDB")
            values[f"{what}_LOCATION"] = text(selection.database)
            values[f"{what}_NICKNAME"] = text(selection.certificate_nickname or "")
            if selection.token is not None:
                values[f"{what}_TOKEN"] = text(selection.token)
        return values
    key = no_key if key_file is None else {"KEY_STORAGE": text("FILE"), "KEY_LOCATION": text(key_file)}
    return {**key, "CERT_STORAGE": text("FILE"), "CERT_LOCATION": text(selection.file or "")}


def read_key_file(context: Context, selection: Selection) -> str | None:
    """The key file's location. Raises UsageError when it is the certificate's."""
    given = context.options.text("keyfile")
    if given is None:
        return None
    if is_pkcs11(given):
        return given
    location = file_location(given, context.tell)
    if location == selection.file:
        raise UsageError("Key and certificate can not both be saved to the same file.")
    return location


def _names(context: Context, default_realm: str | None) -> Values:
    """Subject, and the other names of a server, when the user gave no name at all."""
    options = context.options
    host = context.host()
    defaults = default_names(host, host_principal(host, default_realm))
    values: Values = {} if options.given("subject") else {"template-subject": text(defaults.subject)}
    if not any(options.given(name) for name in _NAMING):
        values["template-hostname"] = texts([defaults.dns])
        values["template-eku"] = texts([defaults.eku])
        if defaults.principal is not None:
            values["template-principal"] = texts([defaults.principal])
    return values


def _check_ipa(context: Context, values: Values) -> None:
    """IPA finds the service that a certificate is for by its principal name."""
    if context.ca_name == _IPA and "template-principal" not in values:
        raise UsageError(
            "The IPA backend requires the use of the -K option (principal name) when any of the -N (subject name), "
            "-E (email address), -A (IP address), -D (DNS name), or -U (extendedKeyUsage) options is used."
        )


def run(context: Context) -> int:
    """Add the request; with -w, wait for its certificate."""
    options = context.options
    default_realm = read_default_realm(context.environment)
    selection = read_selection(options, context.tell)
    key_file = read_key_file(context, selection)
    values = template_values(options, default_realm, context.tell)
    require_location(selection, nothing="None of database directory and nickname or certificate file specified.")
    values = {**values, **_names(context, default_realm)}
    _check_ipa(context, values)
    values.update(storage_values(selection, key_file, no_key={"KEY_STORAGE": text("NONE")}))
    values.update(key_values(options))
    values["TRACK"] = Variant("b", value=True)
    values["RENEW"] = Variant("b", value=options.last_of("renew", "no_renew") != "no_renew")
    nickname = options.text("assigned_id")
    if nickname is not None:
        values["NICKNAME"] = text(nickname)
    with context.client() as client:
        check_key_type(options, client)
        if context.ca_name is not None:
            values["CA"] = Variant("o", client.find_ca(context.ca_name).path)
        path = client.add_request(values)
        if path is None:
            raise CommandFailed("New signing request could not be added.")
        context.tell(f'New signing request "{client.request_nickname(path)}" added.')
        return wait_if_asked(context, client, path)
