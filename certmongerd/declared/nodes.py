"""YAML with the line of everything, read as the types that a schema asks for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_TAG: Final = "tag:yaml.org,2002:"
_FLAG: Final = f"{_TAG}bool"
_NUMBER: Final = f"{_TAG}int"
_NOTHING: Final = f"{_TAG}null"
_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}")
_OCTAL: Final = re.compile(r"(?:0o)?([0-7]{1,5})")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a document that cannot be used."""

    line: int
    """Counted from 1."""
    reason: str


class Misread(Exception):
    """What a document has at some place is not what is wanted there."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.mistake = Mistake(line, reason)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value in a mapping."""

    key: str
    line: int
    value: Node


def line_of(node: Node) -> int:
    """Where *node* begins."""
    return int(node.start_mark.line) + 1


def compose(text: str) -> Node | None:
    """The one document in *text*; None for an empty one. Raises Misread."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise Misread(mark.line + 1 if mark else 1, exc.problem or exc.context or "is not YAML") from exc
    except yaml.YAMLError as exc:
        raise Misread(1, f"is not YAML: {' '.join(str(exc).split())}") from exc
    except RecursionError:
        raise Misread(1, "is nested too deeply") from None


def entries(node: Node, what: str) -> Iterator[Entry]:
    """The entries of a mapping, in order. Raises Misread when *node* is none."""
    if not isinstance(node, MappingNode):
        raise Misread(line_of(node), f"{what} has to be a mapping of keys to values")
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise Misread(line_of(key), f"a key of {what} has to be a word")
        yield Entry(str(key.value), line_of(key), value)


def elements(node: Node, what: str) -> tuple[Node, ...]:
    """The elements of a list. Raises Misread when *node* is none."""
    if not isinstance(node, SequenceNode):
        raise Misread(line_of(node), f"{what} has to be a list")
    return tuple(node.value)


def text(node: Node) -> str:
    """A text; what YAML takes for a number counts as written. Raises Misread."""
    if not isinstance(node, ScalarNode) or node.tag == _NOTHING:
        raise Misread(line_of(node), "a text is expected")
    if node.tag == _FLAG:
        raise Misread(line_of(node), f"a text is expected; put {node.value} into quotes if it is meant as one")
    value = str(node.value)
    if not value.replace("\n", " ").isprintable():
        raise Misread(line_of(node), "a text without control characters is expected")
    return value


def texts(node: Node) -> tuple[str, ...]:
    """A list of texts; a single text is a list of one. Raises Misread."""
    if isinstance(node, SequenceNode):
        return tuple(text(element) for element in node.value)
    return (text(node),)


def flag(node: Node) -> bool:
    """Yes or no. Raises Misread."""
    if not isinstance(node, ScalarNode) or node.tag != _FLAG:
        raise Misread(line_of(node), "true or false is expected")
    return str(node.value).lower() in ("yes", "true", "on")


def number(node: Node) -> int:
    """A decimal number. Raises Misread."""
    if not isinstance(node, ScalarNode) or node.tag != _NUMBER or not _DECIMAL.fullmatch(node.value):
        raise Misread(line_of(node), "a number is expected")
    return int(node.value)


def mode(node: Node) -> int:
    """A file mode in octal digits, quoted or not. Raises Misread."""
    match = _OCTAL.fullmatch(node.value) if isinstance(node, ScalarNode) else None
    if match is None:
        raise Misread(line_of(node), "a file mode in octal digits is expected, like 0640")
    return int(match[1], 8)
