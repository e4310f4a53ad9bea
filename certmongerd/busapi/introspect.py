"""org.freedesktop.DBus.Introspectable: the XML description of a node, from the rows of its interfaces.

Names and paths of D-Bus have no characters that XML would need quoted.
"""

from collections.abc import Iterator
from typing import Final

from certmongerd.api import INTROSPECTABLE_INTERFACE
from certmongerd.busapi.node import Node
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Property, Signal, Subject
from certmongerd.core.model import Ca, Request

_DOCTYPE: Final = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    '"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)
_AnyRow = (
    Method[Node]
    | Method[Request]
    | Method[Ca]
    | Method[None]
    | Property[Node]
    | Property[Request]
    | Property[Ca]
    | Property[None]
    | Signal
)
EMPTY_DOCUMENT: Final = _DOCTYPE + "<node>\n</node>\n"
"""What a path that does not exist answers."""


def _args(args: tuple[Arg, ...], direction: str | None) -> Iterator[str]:
    tail = f' direction="{direction}"' if direction else ""
    for arg in args:
        yield f'   <arg name="{arg.name}" type="{arg.type}"{tail}/>'


def _row(row: _AnyRow) -> Iterator[str]:
    match row:
        case Method():
            yield f'  <method name="{row.name}">'
            yield from _args(row.takes, "in")
            yield from _args(row.gives, "out")
            yield "  </method>"
        case Signal():
            yield f'  <signal name="{row.name}">'
            yield from _args(row.args, None)
            yield "  </signal>"
        case Property():
            access = "readwrite" if row.write else "read"
            head = f'  <property name="{row.name}" type="{row.type}" access="{access}"'
            if not row.annotations:
                yield head + "/>"
                return
            yield head + ">"
            for name, value in row.annotations:
                yield f'   <annotation name="{name}" value="{value}"/>'
            yield "  </property>"


def document(node: Node) -> str:
    """The introspection document of *node*; the outer name is the full path, as in certmonger's."""
    lines = [f'<node name="{node.path}">']
    for interface in node.interfaces():
        lines.append(f' <interface name="{interface.name}">')
        for row in interface.rows:
            if not (isinstance(row, Method) and row.is_hidden):
                lines += _row(row)
        lines.append(" </interface>")
    lines += [f' <node name="{child}"/>' for child in node.children]
    return _DOCTYPE + "\n" + "\n".join(lines) + "\n</node>"


async def _introspect(subject: Subject[Node], _: Arguments) -> Answer:
    return Answer("s", (document(subject.value),))


INTROSPECTABLE: Final[Interface[Node]] = Interface(
    INTROSPECTABLE_INTERFACE,
    (Method(name="Introspect", gives=(Arg("xml_data", "s"),), handle=_introspect, only_reads=True),),
)
"""`org.freedesktop.DBus.Introspectable`."""
