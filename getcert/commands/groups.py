"""Groups of options that several commands have in common."""

from typing import Final

from getcert.help import Groups

BY_ID: Final = ("By nickname of the request", ("id",))
IN_DATABASE: Final = ("In an NSS database", ("dbdir", "nickname", "token"))
IN_FILE: Final = ("In a file", ("certfile",))
IN_FILES: Final = ("In files", ("certfile", "keyfile"))
ACCESS: Final = ("Access to the private key", ("pin", "pinfile"))
NAMES: Final = (
    "key_usage",
    "extended_key_usage",
    "principal",
    "dns",
    "email",
    "ip_address",
    "challenge_password_file",
    "challenge_password",
    "for_ca",
    "not_for_ca",
    "ca_path_length",
)
FROM_CA: Final = ("ca", "profile", "ms_template", "issuer")
SAVING: Final = (
    "When saving",
    (
        "before_command",
        "after_command",
        "probe",
        "ca_file",
        "ca_dbdir",
        "other_root_file",
        "other_root_dbdir",
        "chain_file",
        "chain_dbdir",
        "key_owner",
        "key_perms",
        "cert_owner",
        "cert_perms",
        "nss_user",
    ),
)
NOTIFICATION: Final = ("Notifications, if not as configured", ("notification_method", "notification_destination"))
WAITING: Final = ("Waiting", ("wait", "wait_timeout"))
CHOSEN: Final[Groups] = (BY_ID, IN_DATABASE, IN_FILE)
"""The ways to choose an existing request."""
