"""The daemon's metrics, where the command line asks for them. Loads their library only then."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Ca, Request
from certmongerd.daemon import Daemon
from certmongerd.options import Options
from certmongerd.store.files import write_durably

if TYPE_CHECKING:
    from certmongerd.observe.metrics import Metrics

_log = logging.getLogger(__name__)

_FILE_MODE: Final = 0o644


@asynccontextmanager
async def offering_metrics(options: Options, daemon: Daemon, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
    """Offer metrics as *options* say while the block runs. Raises InvalidValue for what cannot be."""
    if options.metrics is None and options.metrics_file is None:
        yield
        return
    try:
        from certmongerd.observe.exposition import keep_file, parse_place, serving
        from certmongerd.observe.metrics import Metrics
    except ImportError as error:
        raise InvalidValue("metrics", "Metrics need the Python package prometheus-client.") from error
    metrics = Metrics(daemon.engine.requests, daemon.engine.cas, daemon.run_times, daemon.now)
    daemon.engine.subscribe(_SavedCounter(daemon, metrics))
    async with AsyncExitStack() as stack:
        if options.metrics is not None:
            address = await stack.enter_async_context(serving(parse_place(options.metrics), metrics.text))
            _log.info("Metrics are served at %s", address)
        if options.metrics_file is not None:
            tasks.create_task(keep_file(options.metrics_file, metrics.text, _write), name="metrics file")
        yield


def _write(path: str, text: bytes) -> None:
    try:
        write_durably(path, text, mode=_FILE_MODE)
    except OSError as error:
        _log.error("Metrics cannot be written to %s: %s", path, error.strerror)


class _SavedCounter:
    """Counts stored certificates by the nickname of their request."""

    def __init__(self, daemon: Daemon, metrics: "Metrics") -> None:
        self._daemon = daemon
        self._metrics = metrics

    def certificate_saved(self, path: ObjectPath) -> None:
        """A certificate was stored and read back."""
        request = self._daemon.engine.requests().get(path)
        if request is not None:  # what was known of its certificate is known still: see `RequestListener`
            self._metrics.count_saved(request.id, is_renewal=request.cert_facts.not_after is not None)

    def request_added(self, path: ObjectPath, request: Request) -> None:
        """Not counted."""

    def request_changed(self, path: ObjectPath, old: Request, new: Request) -> None:
        """Not counted."""

    def request_removed(self, path: ObjectPath) -> None:
        """Not counted."""

    def ca_added(self, path: ObjectPath, ca: Ca) -> None:
        """Not counted."""

    def ca_changed(self, path: ObjectPath, old: Ca, new: Ca) -> None:
        """Not counted."""

    def ca_removed(self, path: ObjectPath) -> None:
        """Not counted."""
