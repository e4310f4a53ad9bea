"""getcert list-cas: the CAs the daemon knows."""

from typing import Final

from certmongerd.api import CA_TYPE_EXTERNAL
from getcert.client import Client
from getcert.context import Context
from getcert.documents import Document, ca_document, cas_document
from getcert.entries import CaEntry
from getcert.help import Groups
from getcert.rendering import render
from getcert.text import ca_lines

GROUPS: Final[Groups] = (("Which CA", ("ca",)), ("Output", ("output",)))
HIDDEN: Final = ()


def _document(client: Client, ca: CaEntry) -> Document:
    return ca_document(ca, kind=client.ca_type(ca), serial=client.ca_next_serial(ca), config_path=client.ca_file(ca))


def _show(context: Context, client: Client, ca: CaEntry) -> None:
    kind = client.ca_type(ca)
    for line in ca_lines(
        ca,
        kind=kind,
        serial="" if kind == CA_TYPE_EXTERNAL else client.ca_next_serial(ca),
        config_path=client.ca_file(ca) if context.is_verbose else "",
        verbose=context.is_verbose,
    ):
        context.tell(line)


def run(context: Context) -> int:
    """Print all CAs or one, whose name is compared exactly; a name nobody has prints nothing."""
    with context.client() as client:
        chosen = [ca for ca in client.cas() if context.ca_name in (None, ca.nickname)]
        if context.document_format is not None:
            document = cas_document(_document(client, ca) for ca in chosen)
            context.out.write(render(document, context.document_format))
            return 0
        for ca in chosen:
            _show(context, client, ca)
    return 0
