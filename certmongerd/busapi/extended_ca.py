"""What CAs offer beyond certmonger's interface: as properties, what certmonger tells by methods only."""

from typing import Final

from certmongerd.api import EXTENDED_CA_INTERFACE
from certmongerd.busapi.service import Service
from certmongerd.busapi.table import EMITS_CHANGED, Interface, Property
from certmongerd.core.model import Ca, CaType


def _file(ca: Ca, service: Service) -> object:
    path = service.ca_path(ca.id)
    return service.ca_file(path) if path else ""


def _next_serial(ca: Ca, _: Service) -> object:
    return ca.internal_serial if ca.type is CaType.INTERNAL_SELF else ""


EXTENDED_CA: Final[Interface[Ca]] = Interface(
    EXTENDED_CA_INTERFACE,
    (
        Property(name="type", type="s", get=lambda ca, _: ca.type.value, source="type"),
        Property(
            name="next-serial",
            type="s",
            get=_next_serial,
            source="internal_serial",
            annotations=(EMITS_CHANGED,),
        ),
        Property(name="file", type="s", get=_file, source="id", shows_empty=True),
    ),
)
"""`org.certmongerd.ca`."""
