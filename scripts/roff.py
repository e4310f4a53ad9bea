"""Markdown as this project's documents use it, turned into roff for man(7).

Headings, paragraphs, lists, definitions (`term` and `: text`), tables, fenced code, and the marks inside lines; names
of manual pages are marked as such. A table becomes a list of definitions below its first heading: the first column is
the term, the rest its text. A column with the heading `default` comes last. The output is ASCII.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_MARKS: Final = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>[^*]+)\*\*|(?<![\w*])\*(?P<italic>[^*\s][^*]*)\*|\[(?P<link>[^\]]+)\]\([^)]+\)"
    r"|(?<![\w.-])(?P<page>[a-z][\w.-]*\([1-8]\))"
)
_LITERAL: Final = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
"""Characters that have to come out as they are, not as typography."""
_PLAIN: Final = {"\\": "\\e", "^": "\\(ha", "~": "\\(ti"}
_RULE: Final = re.compile(r"\|[\s:|-]+\|")


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(
        table.get(character) or (character if character.isascii() else f"\\[u{ord(character):04X}]")
        for character in text
    )


def literal(text: str) -> str:
    """Text that readers type or read on a screen: every character is what it is."""
    return _escaped(text, _LITERAL)


def inline(text: str) -> str:
    """One paragraph's text with its marks."""
    pieces = []
    end = 0
    for match in _MARKS.finditer(text):
        pieces.append(_escaped(text[end : match.start()], _PLAIN))
        if match["code"] is not None:
            pieces.append(f"\\fB{literal(match['code'])}\\fP")
        elif match["bold"] is not None:
            pieces.append(f"\\fB{literal(match['bold'])}\\fP")
        elif match["italic"] is not None:
            pieces.append(f"\\fI{literal(match['italic'])}\\fP")
        elif match["page"] is not None:
            name, section = match["page"].rsplit("(", 1)
            pieces.append(f"\\fB{literal(name)}\\fP({section}")
        else:
            pieces.append(inline(match["link"]))
        end = match.end()
    return "".join((*pieces, _escaped(text[end:], _PLAIN)))


def _line(text: str) -> str:
    """*text* as a line of input that is no request to roff."""
    return f"\\&{text}" if text.startswith((".", "'")) else text


def sentence(text: str) -> str:
    """A short text as a sentence."""
    first = text[:1].upper() if text[:1].isalpha() else text[:1]
    return first + text[1:] + ("" if text.endswith(".") else ".")


def definition(term: str, text: str) -> Iterator[str]:
    """A term, in roff, and what it means, in Markdown."""
    yield ".TP"
    yield _line(term)
    yield _line(inline(text)) if text else "\\&"


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _table(rows: Sequence[str]) -> Iterator[str]:
    title, *headings = _cells(rows[0])
    yield f'.SS "{inline(title)}"'
    for row in rows[1:]:
        if _RULE.fullmatch(row):
            continue
        term, *cells = _cells(row)
        told = dict(zip(headings, cells, strict=True))
        default = told.pop("default", "")
        texts = [text for text in (*told.values(), f"Default: {default}" if default else "") if text]
        yield from definition(inline(term), " ".join(map(sentence, texts)))


def _list(lines: Sequence[str]) -> Iterator[str]:
    """Items that begin with `- ` or a number; what follows indented belongs to them."""
    item: list[str] = []
    mark = ""
    for line in (*lines, "- "):
        start = re.match(r"(-|\d+\.) ", line)
        if start is None:
            item.append(line.strip())
            continue
        if item:
            yield f'.IP "{mark}" 4'
            yield _line(inline(" ".join(item)))
        mark = "\\(bu" if start[1] == "-" else start[1]
        item = [line[start.end() :].strip()]


def _heading(line: str) -> str:
    marks, _, text = line.partition(" ")
    if len(marks) <= 2:
        return f'.SH "{literal(text.upper())}"'
    return f'.SS "{inline(text)}"'


def _block(lines: Sequence[str]) -> Iterator[str]:
    """Lines between empty ones."""
    first = lines[0]
    if first.startswith("#"):
        yield _heading(first)
        if len(lines) > 1:
            yield from _block(lines[1:])
    elif first.startswith("|"):
        yield from _table(lines)
    elif re.match(r"(-|\d+\.) ", first):
        yield from _list(lines)
    elif len(lines) > 1 and lines[1].startswith(": "):
        yield from definition(inline(first), " ".join(line.removeprefix(": ").strip() for line in lines[1:]))
    else:
        begin = next((number for number, line in enumerate(lines) if number and re.match(r"- ", line)), len(lines))
        yield ".PP"
        yield _line(inline(" ".join(line.strip() for line in lines[:begin])))
        if begin < len(lines):
            yield from _list(lines[begin:])


def _code(lines: Iterable[str]) -> Iterator[str]:
    yield ".PP"
    yield ".RS 4"
    yield ".EX"
    yield from (_line(literal(line)) for line in lines)
    yield ".EE"
    yield ".RE"


def body(markdown: str) -> Iterator[str]:
    """Lines of roff for a Markdown text."""
    block: list[str] = []
    code: list[str] | None = None
    for line in (*markdown.splitlines(), ""):
        if line.startswith("```"):
            if code is None:
                code = []
                if block:
                    yield from _block(block)
                    block = []
            else:
                yield from _code(code)
                code = None
        elif code is not None:
            code.append(line)
        elif line.strip():
            block.append(line.rstrip())
        elif block:
            yield from _block(block)
            block = []
