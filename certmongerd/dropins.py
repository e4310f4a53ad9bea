"""`certmonger.conf.d/*.yaml`: documents that are applied at the start and when the configuration is read again."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from certmongerd.busapi.service import Caller
from certmongerd.busapi.table import Context
from certmongerd.config.files import MAXIMUM_SIZE, read_regular_file
from certmongerd.config.paths import DROP_IN_DIRECTORY_NAME
from certmongerd.installation import helper_directory

if TYPE_CHECKING:  # it brings a YAML parser, which a daemon without drop-ins has no use for
    from certmongerd.declared.document import Document

_log = logging.getLogger(__name__)

_PATTERN: Final = "*.yaml"


def find_drop_ins(directory: Path) -> tuple[Path, ...]:
    """The documents of *directory* in the order of their names; hidden files are none. Blocks; raises OSError."""
    try:
        return tuple(sorted(path for path in directory.glob(_PATTERN) if not path.name.startswith(".")))
    except FileNotFoundError:
        return ()


def read_drop_ins(paths: tuple[Path, ...]) -> "Document":
    """What all of *paths* declare together; what cannot be read is among its mistakes. Blocks."""
    from certmongerd.declared.document import join_documents

    return join_documents(map(_read, paths))


def _read(path: Path) -> "Document":
    from certmongerd.declared.document import Document, read_document

    try:
        data = read_regular_file(path, must_be_safe=True)
        if len(data) > MAXIMUM_SIZE:
            return Document(mistakes=(f"{path}: is longer than {MAXIMUM_SIZE} bytes",))
        return read_document(str(path), data.decode(), helper_directory())
    except OSError as exc:
        return Document(mistakes=(f"{path}: cannot be read: {exc.strerror}",))
    except UnicodeDecodeError:
        return Document(mistakes=(f"{path}: is not UTF-8 text",))


class DropIns:
    """Applies the drop-ins of one directory, as the daemon's own user."""

    def __init__(self, directory: Path, context: Context, caller: Caller) -> None:
        self._directory = directory
        self._context = context
        self._caller = caller

    async def apply(self, *, prunes: bool) -> None:
        """Apply them; what is wrong with them is logged, never raised."""
        try:
            paths = await asyncio.to_thread(find_drop_ins, self._directory)
        except OSError as exc:
            _log.warning("%s cannot be read: %s", self._directory, exc.strerror)
            return
        if not (paths or self._declared_something()):
            return
        from certmongerd.busapi.apply import Application, Effect, apply

        document = await asyncio.to_thread(read_drop_ins, paths)
        application = Application(document=document, owner=DROP_IN_DIRECTORY_NAME, is_trial=False, prunes=prunes)
        for outcome in await apply(application, self._caller, self._context):
            level = {Effect.MISTAKE: logging.WARNING, Effect.UNCHANGED: logging.DEBUG}.get(outcome.effect, logging.INFO)
            _log.log(level, "%s", outcome.text)
        if document.mistakes:
            _log.warning("Nothing of %s is applied before that is mended", self._directory)

    def _declared_something(self) -> bool:
        """Whether there are entries that drop-ins, gone by now, have declared."""
        service = self._context.service
        owners = {request.declared_by for request in service.requests().values()}
        return DROP_IN_DIRECTORY_NAME in owners.union(ca.declared_by for ca in service.cas().values())
