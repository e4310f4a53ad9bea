"""Builds the manual pages: prose from docs/man, options and commands from the programs' own tables.

    python scripts/manpages.py FOLDER

writes FOLDER/man1/getcert.1 and so on. Every command of getcert, every helper, the daemon and the configuration file
has a text docs/man/NAME.SECTION.md. Its first line is a heading that says what the page is about. In it, a line

* `{options}` stands for the options of the program,
* `{commands}` for the commands of getcert,
* `{include FILE}` for the text of another document, without its first heading.

NAME, SYNOPSIS and SEE ALSO are made.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roff import body, definition, inline, literal, sentence

from certmongerd import __version__
from certmongerd.options import make_parser
from getcert.help import Groups
from getcert.main import COMMANDS, PINNED_CAS, Command
from getcert.options import COMMON, OPTIONS

PROJECT: Final = Path(__file__).parent.parent
TEXTS: Final = PROJECT / "docs" / "man"
HELPERS: Final = PROJECT / "helpers" / "certmonger_helpers" / "bin"

SAME_AS: Final[Mapping[str, str]] = {
    **{f"{alias}.1": "getcert.1" for alias in PINNED_CAS},
    "certmonger.8": "certmongerd.8",
}
"""Other names of pages."""


class PageError(Exception):
    """A text is missing, or says something that cannot be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a page is about, as far as the programs say it themselves."""

    synopsis: tuple[str, ...] = ()
    """Markdown."""
    options: Callable[[], Iterator[str]] | None = None
    """Lines of roff."""
    see_also: tuple[str, ...] = ()


def _spelled(*spellings: str, metavar: str) -> str:
    """An option as the term of a definition."""
    argument = f"\\~\\fI{literal(metavar)}\\fP" if metavar else ""
    return ", ".join(f"\\fB{literal(spelling)}\\fP{argument}" for spelling in spellings)


def _getcert_option(name: str) -> Iterator[str]:
    option = OPTIONS[name]
    short = (f"-{option.short}",) if option.short else ()
    yield from definition(_spelled(*short, f"--{option.long}", metavar=option.metavar), sentence(option.help))


def _getcert_options(groups: Groups) -> Iterator[str]:
    yield '.SH "OPTIONS"'
    for heading, names in (*groups, ("Connection and output", COMMON)):
        yield f'.SS "{inline(heading)}"'
        for name in names:
            yield from _getcert_option(name)


def _parser_options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Options and operands of an argparse program."""
    yield '.SH "OPTIONS"'
    for action in parser._actions:
        metavar = (action.metavar or action.dest.upper()) if action.nargs != 0 else ""
        name = str(metavar) if isinstance(metavar, str) else " ".join(metavar)
        text = sentence((action.help or "") % {"default": action.default, "prog": parser.prog})
        if action.option_strings:
            yield from definition(_spelled(*action.option_strings, metavar=name), text)
        else:
            yield from definition(f"\\fI{literal(name)}\\fP", text)


def _command_subject(name: str, command: Command) -> Subject:
    module = command.load()
    operands = f" {'|'.join(f'`{operand}`' for operand in command.operands)}" if command.operands else ""
    return Subject(
        synopsis=(f"`getcert {name}` [*options*]{operands}",),
        options=lambda: _getcert_options(module.GROUPS),
        see_also=("getcert(1)", "certmongerd(8)"),
    )


def _helper_subject(program: str) -> Subject:
    module = importlib.import_module(f"certmonger_helpers.{program.replace('-', '_')}")
    parser = importlib.import_module("certmonger_helpers.protocol").build_parser(module.HELPER)
    operands = " ".join(f"[*{action.metavar}*]" for action in parser._actions if not action.option_strings)
    return Subject(
        synopsis=(f"`{program}` [*options*] {operands}".rstrip(),),
        options=lambda: _parser_options(parser),
        see_also=("certmongerd(8)", "getcert(1)", "getcert-add-ca(1)"),
    )


def subjects() -> dict[str, Subject]:
    """Every page that there has to be, by its name with section."""
    found = {
        "getcert.1": Subject(
            synopsis=("`getcert` *command* [*options*]", *(f"`{alias}` *command* [*options*]" for alias in PINNED_CAS)),
            see_also=("certmongerd(8)", "certmonger.conf(5)", *(f"getcert-{name}(1)" for name in COMMANDS)),
        ),
        "certmongerd.8": Subject(
            synopsis=("`certmongerd` [*options*]",),
            options=lambda: _parser_options(make_parser()),
            see_also=("getcert(1)", "certmonger.conf(5)"),
        ),
        "certmonger.conf.5": Subject(see_also=("certmongerd(8)", "getcert(1)")),
    }
    found |= {f"getcert-{name}.1": _command_subject(name, command) for name, command in COMMANDS.items()}
    found |= {f"certmonger-{path.name}.8": _helper_subject(path.name) for path in sorted(HELPERS.iterdir())}
    return found


def _commands() -> Iterator[str]:
    for name, command in COMMANDS.items():
        yield from definition(f"\\fB{literal(name)}\\fP", f"{sentence(command.summary)} See getcert-{name}(1).")


def _included(path: Path) -> str:
    _, _, text = path.read_text().partition("\n")
    return text


def _content(page: str, text: str, subject: Subject) -> Iterator[str]:
    """The page's text with its directives carried out."""
    plain: list[str] = []
    has_options = False
    for line in (*text.splitlines(), "{end}"):
        if not (line.startswith("{") and line.endswith("}")):
            plain.append(line)
            continue
        yield from body("\n".join(plain))
        plain = []
        match line[1:-1].split():
            case ["end"]:
                continue
            case ["options"] if subject.options is not None:
                yield from subject.options()
                has_options = True
            case ["commands"]:
                yield from _commands()
            case ["include", name]:
                yield from body(_included(TEXTS / name))
            case _:
                raise PageError(f"{page}: {line} cannot be done")
    if subject.options is not None and not has_options:
        raise PageError(f"docs/man/{page}.md has no line {{options}}, where its options are to be")


def render(page: str, subject: Subject) -> str:
    """One page in roff. Raises PageError."""
    source = TEXTS / f"{page}.md"
    if not source.is_file():
        raise PageError(f"docs/man/{page}.md is missing: a heading with what it is about, ## DESCRIPTION, {{options}}")
    name, _, section = page.rpartition(".")
    heading, _, text = source.read_text().partition("\n")
    if not heading.startswith("# "):
        raise PageError(f"docs/man/{page}.md does not begin with a heading that says what it is about")
    lines = [
        f'.TH "{literal(name.upper())}" "{section}" "" "certmongerd {__version__}" ""',
        ".nh",
        ".ad l",
        '.SH "NAME"',
        f"{literal(name)} \\- {inline(heading.removeprefix('# '))}",
    ]
    if subject.synopsis:
        lines.append('.SH "SYNOPSIS"')
        for number, synopsis in enumerate(subject.synopsis):
            lines += ([".br"] if number else []) + [inline(synopsis)]
    lines += _content(page, text, subject)
    others = [other for other in subject.see_also if other != f"{name}({section})"]
    lines += ['.SH "SEE ALSO"', inline(", ".join(others))]
    return "".join(f"{line}\n" for line in lines)


def build(folder: Path) -> list[Path]:
    """Write all pages below *folder*; their paths. Raises PageError."""
    pages = {page: render(page, subject) for page, subject in subjects().items()}
    surplus = {path.name.removesuffix(".md") for path in TEXTS.glob("*.md")} - pages.keys()
    if surplus:
        raise PageError(f"docs/man has pages about nothing that there is: {', '.join(sorted(surplus))}")
    pages |= {other: f".so man{page[-1]}/{page}\n" for other, page in SAME_AS.items()}
    written = []
    for page, text in pages.items():
        path = folder / f"man{page[-1]}" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written


def main() -> int:
    """Build into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"Usage: {sys.argv[0]} FOLDER\n")
        return 1
    try:
        build(Path(sys.argv[1]))
    except PageError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
