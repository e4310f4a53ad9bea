"""CAs to and from the records of their state files. No I/O."""

from collections.abc import Callable, Iterable
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaCertLocations, CaType, Hook
from certmongerd.store.certificates import CERTIFICATES
from certmongerd.store.format import Record
from certmongerd.store.table import Row, Table, row
from certmongerd.store.values import BOOLEAN, CA_TYPE, DEFAULT_FLAG, EPOCH_SECONDS_IF_ANY, LIST, PEM, STRING

FIRST_SERIAL: Final = "01"
"""Next serial of an internal CA that never issued anything."""


def _has_certs_to_save(ca: Ca) -> bool:
    return ca.certs_to_save


_ROWS: Final[tuple[Row[Ca], ...]] = (
    row("id", "id", STRING),
    row("ca_aka", "aka", STRING),
    row("ca_issuer_names", "issuer_names", LIST),
    row("ca_is_default", "is_default", DEFAULT_FLAG),
    row("ca_type", "type", CA_TYPE),
    row("ca_internal_serial", "internal_serial", STRING),
    row("ca_internal_issue_time", "internal_issue_time", EPOCH_SECONDS_IF_ANY),
    row("ca_external_helper", "external_helper", STRING),
    row("ca_root_certs", "root_certs", CERTIFICATES),
    row("ca_other_root_certs", "other_root_certs", CERTIFICATES),
    row("ca_other_certs", "other_certs", CERTIFICATES),
    row("ca_required_enroll_attributes", "required_enroll_attributes", LIST),
    row("ca_required_renewal_attributes", "required_renewal_attributes", LIST),
    row("ca_profiles", "profiles", LIST),
    row("ca_default_profile", "default_profile", STRING),
    row("ca_pre_save_command", "pre_save.command", STRING),
    row("ca_pre_save_uid", "pre_save.uid", STRING),
    row("ca_post_save_command", "post_save.command", STRING),
    row("ca_post_save_uid", "post_save.uid", STRING),
    row("ca_root_cert_files", "ca_certs.root_files", LIST),
    row("ca_other_root_cert_files", "ca_certs.other_root_files", LIST),
    row("ca_other_cert_files", "ca_certs.other_files", LIST),
    row("ca_root_cert_dbs", "ca_certs.root_dbs", LIST),
    row("ca_other_root_cert_dbs", "ca_certs.other_root_dbs", LIST),
    row("ca_other_cert_dbs", "ca_certs.other_dbs", LIST),
    row("ca_capabilities", "capabilities", LIST),
    row("scep_cipher", "scep_cipher", STRING),
    row("scep_digest", "scep_digest", STRING),
    row("scep_ca_identifier", "scep_ca_identifier", STRING),
    row("ca_encryption_cert", "encryption_cert", PEM),
    row("ca_encryption_issuer_cert", "encryption_issuer_cert", PEM),
    row("ca_encryption_cert_pool", "encryption_cert_pool", PEM),
    row("ca_certs_to_save", "certs_to_save", BOOLEAN, when=_has_certs_to_save),
    row("declared_by", "declared_by", STRING),  # certmonger does not know it, and forgets it
)

CA_TABLE: Final = Table(_ROWS, {}, Ca(id=CaName("")))

_GROUPS: Final[dict[str, Callable[..., object]]] = {"pre_save": Hook, "post_save": Hook, "ca_certs": CaCertLocations}
_BUILD: Final[Callable[..., Ca]] = Ca


def read_ca(records: Iterable[Record]) -> tuple[Ca, tuple[str, ...]]:
    """The CA of a state file, and what was wrong with single values.

    Raises InvalidValue when there is no `id`: such a file is not a CA.
    """
    reading = CA_TABLE.read(records)
    own = reading.fields.pop("", {})
    if not own.get("id"):
        raise InvalidValue("id", "has no id, so it is not a CA")
    if own.get("type") is CaType.INTERNAL_SELF and not own.get("internal_serial"):
        own["internal_serial"] = FIRST_SERIAL
    groups = {name: _GROUPS[name](**values) for name, values in reading.fields.items()}
    return _BUILD(**own, **groups, unknown=tuple(reading.unknown)), tuple(reading.complaints)


def write_ca(ca: Ca) -> list[Record]:
    """The records of a CA's state file."""
    return CA_TABLE.write(ca, ca.unknown)
