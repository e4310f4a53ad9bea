"""What the root object offers beyond certmonger's interface: applying documents."""

import asyncio
from typing import Final

from certmongerd.api import EXTENDED_ROOT_INTERFACE
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Subject
from certmongerd.installation import helper_directory


async def _apply(subject: Subject[None], arguments: Arguments) -> Answer:
    # These bring a YAML parser with them, which most daemons never need.
    from certmongerd.busapi.apply import Application, apply
    from certmongerd.declared.document import read_document

    name = arguments.text(0)
    document = await asyncio.to_thread(read_document, name, arguments.text(1), helper_directory())
    application = Application(
        document=document,
        owner=f"apply {name}",
        is_trial=bool(arguments.body[2]),
        prunes=bool(arguments.body[3]),
    )
    outcomes = await apply(application, arguments.caller, subject.context)
    return Answer("a(ss)", (tuple((outcome.effect.value, outcome.text) for outcome in outcomes),))


EXTENDED_MANAGER: Final[Interface[None]] = Interface(
    EXTENDED_ROOT_INTERFACE,
    (
        Method(
            name="apply",
            takes=(Arg("name", "s"), Arg("document", "s"), Arg("dry_run", "b"), Arg("prune", "b")),
            gives=(Arg("outcomes", "a(ss)"),),
            handle=_apply,
        ),
    ),
)
"""`org.certmongerd`."""
