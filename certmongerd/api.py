"""Names of the D-Bus interface, shared by the daemon and its clients. Constants only."""

from typing import Final

BUS_NAME: Final = "org.fedorahosted.certmonger"
"""Well-known name of the daemon."""

ROOT_PATH: Final = "/org/fedorahosted/certmonger"
CAS_PATH: Final = "/org/fedorahosted/certmonger/cas"
REQUESTS_PATH: Final = "/org/fedorahosted/certmonger/requests"
CA_PATH_PREFIX: Final = "/org/fedorahosted/certmonger/cas/CA"
"""A number follows."""
REQUEST_PATH_PREFIX: Final = "/org/fedorahosted/certmonger/requests/Request"
"""A number follows."""
MOST_LISTED: Final = 250
"""Objects in one answer of `list_properties`."""

ROOT_INTERFACE: Final = "org.fedorahosted.certmonger"
CA_INTERFACE: Final = "org.fedorahosted.certmonger.ca"
REQUEST_INTERFACE: Final = "org.fedorahosted.certmonger.request"
EXTENDED_REQUEST_INTERFACE: Final = "org.certmongerd.request"
"""What requests offer beyond certmonger's interface."""
EXTENDED_MANAGER_INTERFACE: Final = "org.certmongerd.manager"
"""What the root object offers beyond certmonger's interface."""
EXTENDED_CA_INTERFACE: Final = "org.certmongerd.ca"
"""What CAs offer beyond certmonger's interface."""
PROPERTIES_INTERFACE: Final = "org.freedesktop.DBus.Properties"
INTROSPECTABLE_INTERFACE: Final = "org.freedesktop.DBus.Introspectable"
PEER_INTERFACE: Final = "org.freedesktop.DBus.Peer"
OBJECT_MANAGER_INTERFACE: Final = "org.freedesktop.DBus.ObjectManager"

DBUS_NAME: Final = "org.freedesktop.DBus"
"""Name and interface of the bus itself."""
DBUS_PATH: Final = "/org/freedesktop/DBus"

PRIVATE_ADDRESS_VARIABLE: Final = "CERTMONGER_PVT_ADDRESS"
"""Environment variable with the address of the daemon's private socket."""

CA_TYPE_EXTERNAL: Final = "EXTERNAL"
"""Type of a CA that is reached through a helper program; others work inside the daemon."""

# Errors of the interface.
ERROR_MISSING_ARG: Final = "org.fedorahosted.certmonger.missing_arg"
"""Body `ss`: text, key."""
ERROR_BAD_ARG: Final = "org.fedorahosted.certmonger.bad_arg"
"""Body `ss`: text, key."""
ERROR_DUPLICATE: Final = "org.fedorahosted.certmonger.duplicate"
"""Body `sas`: text, keys."""
ERROR_NO_SUCH_ENTRY: Final = "org.fedorahosted.certmonger.no_such_entry"
"""Body `s`."""
ERROR_REQUEST_BAD_ARG: Final = "org.fedorahosted.certmonger.request.bad_arg"
"""Body `ss`: text, key or property; from `modify` and from `Get` on any object."""
ERROR_INTERNAL: Final = "org.fedorahosted.certmonger.internal"
"""Body `s`: a fixed sentence and a number that is in the daemon's log too."""
ERROR_CA_INTERNAL: Final = "org.fedorahosted.certmonger.ca.internal"
ERROR_REQUEST_INTERNAL: Final = "org.fedorahosted.certmonger.request.internal"

ERROR_QUERY_REFUSED: Final = "org.certmongerd.error.query_refused"
"""Body `s`: why a SCEP server could not be asked, or did not answer."""

# Errors of the D-Bus world.
ERROR_UNKNOWN_METHOD: Final = "org.freedesktop.DBus.Error.UnknownMethod"
ERROR_UNKNOWN_PROPERTY: Final = "org.freedesktop.DBus.Error.UnknownProperty"
ERROR_PROPERTY_READ_ONLY: Final = "org.freedesktop.DBus.Error.PropertyReadOnly"
ERROR_INVALID_ARGS: Final = "org.freedesktop.DBus.Error.InvalidArgs"
ERROR_ACCESS_DENIED: Final = "org.freedesktop.DBus.Error.AccessDenied"
ERROR_NO_REPLY: Final = "org.freedesktop.DBus.Error.NoReply"
ERROR_SERVICE_UNKNOWN: Final = "org.freedesktop.DBus.Error.ServiceUnknown"
ERROR_NAME_HAS_NO_OWNER: Final = "org.freedesktop.DBus.Error.NameHasNoOwner"
ERROR_LIMITS_EXCEEDED: Final = "org.freedesktop.DBus.Error.LimitsExceeded"
