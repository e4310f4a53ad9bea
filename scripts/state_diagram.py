"""The state diagrams of docs/architecture.md, drawn from the request machine's own tables.

    scripts/state_diagram.py            prints the diagrams (Mermaid)
    scripts/state_diagram.py --write    puts them into the document
    scripts/state_diagram.py --check    fails when the document's are out of date

Which states a handler can lead to is read from its source: those that it, or a function it calls in the machine's
modules, names.
"""

import argparse
import ast
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from certmongerd.core import machine_enroll, machine_key, machine_save, step
from certmongerd.core.events import Event
from certmongerd.core.states import STUCK_STATES, State
from certmongerd.core.step import Handler

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
BEGIN, END = "<!-- states: begin (make docs) -->\n", "<!-- states: end -->\n"
PHASES: tuple[tuple[str, ModuleType], ...] = (
    ("From a new entry to a signing request", machine_key),
    ("From a signing request to the CA's answer", machine_enroll),
    ("From an issued certificate to a stored and watched one", machine_save),
)


def _functions() -> dict[str, ast.FunctionDef]:
    modules = (step, *(module for _, module in PHASES))
    nodes = (node for module in modules for node in ast.parse(inspect.getsource(module)).body)
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


FUNCTIONS = _functions()


def _named_states(function: str, seen: frozenset[str] = frozenset()) -> Iterator[State]:
    """The states that *function* and what it calls name."""
    for node in ast.walk(FUNCTIONS[function]):
        match node:
            case ast.Attribute(value=ast.Name(id="State"), attr=name):
                yield State[name]
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS and name not in seen:
                yield from _named_states(name, seen | {function})


def _transitions(table: Mapping[tuple[State, type[Event]], Handler]) -> dict[tuple[State, State], list[str]]:
    """For each pair of states, the events that lead from one to the other."""
    edges: defaultdict[tuple[State, State], list[str]] = defaultdict(list)
    for (origin, event), handler in table.items():
        for target in sorted(set(_named_states(handler.__name__)), key=list(State).index):
            edges[origin, target].append(event.__name__)
    return edges


def _diagram(module: ModuleType) -> Iterator[str]:
    edges = _transitions(module.TRANSITIONS)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    classDef stuck stroke-dasharray: 5 5"
    for (origin, target), events in edges.items():
        label = "" if events == ["Continue"] else f" : {', '.join(events)}"
        yield f"    {origin.value} --> {target.value}{label}"
    shown = {state for edge in edges for state in edge}
    for state in State:
        if state in shown and state in STUCK_STATES:
            yield f"    class {state.value} stuck"
    yield "```"


def diagrams() -> str:
    """All diagrams, as they stand in the document."""
    parts = ["\n".join((f"### {title}\n", *_diagram(module))) for title, module in PHASES]
    return "\n" + "\n\n".join(parts) + "\n\n"


def main() -> int:
    """Print, write or check the diagrams; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.write or arguments.check):
        print(diagrams())
        return 0
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    present, _, after = rest.partition(END)
    if arguments.check and present != diagrams():
        print(f"{DOCUMENT.name} is out of date; run make docs", file=sys.stderr)
        return 1
    if arguments.write:
        DOCUMENT.write_text(before + BEGIN + diagrams() + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
