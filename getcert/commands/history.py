"""getcert history: the turns a request took, when, and what the CA said."""

from typing import Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.documents import history_document
from getcert.entries import HistoryEntry
from getcert.help import Groups
from getcert.rendering import render
from getcert.selection import choose_request
from getcert.text import time_text

GROUPS: Final[Groups] = (*CHOSEN, ("Output", ("utc", "output")))
HIDDEN: Final = ()


def history_line(entry: HistoryEntry, *, utc: bool) -> str:
    """One entry as it is shown."""
    parts = [f"{time_text(entry.at, utc=utc)}: {entry.event}: {entry.state}"]
    if entry.attempts:
        parts.append(f"attempt {entry.attempts}")
    if entry.due:
        parts.append(f"next attempt {time_text(entry.due, utc=utc)}")
    if entry.error:
        parts.append(entry.error.replace("\n", " "))
    return ", ".join(parts)


def run(context: Context) -> int:
    """Print the history of one request, a turn a line, oldest first."""
    with context.client() as client:
        entry = choose_request(context.options, context.remark, client)
        history = client.request_history(entry.path)
    if context.document_format is not None:
        context.out.write(render(history_document(entry.nickname, history), context.document_format))
        return 0
    context.tell(f"Request ID '{entry.nickname}':")
    for happened in history:
        context.tell("\t" + history_line(happened, utc=context.options.given("utc")))
    return 0
