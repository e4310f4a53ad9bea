"""The daemon's state in one line."""

from collections.abc import Iterable

from certmongerd.core.model import Request
from certmongerd.core.states import State


def summary(requests: Iterable[Request]) -> str:
    """How many certificates are tracked, and how many of them want attention."""
    tracked = stuck = working = 0
    for request in requests:
        tracked += 1
        if request.is_stuck:
            stuck += 1
        elif request.state is not State.MONITORING:
            working += 1
    parts = [f"{tracked} tracked"]
    parts += [f"{working} at work"] if working else []
    parts += [f"{stuck} stuck"] if stuck else []
    return ", ".join(parts)
