"""Recorded invocations of certmonger's client, and patterns that their output has to match."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "getcert"

_STATE_LINES = r"(?:State [A-Z_]+, stuck: (?:yes|no)\.\n)*"
_VOLATILE = {
    "DATE": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z0-9+-]+",
    "UUID": r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}",
    "ID": r"\d{14}(?:-\d+)?",
    "THUMB": r"[0-9A-F]{8}(?: [0-9A-F]{8})+",
    "SERIAL": r"[0-9A-F]+",
    "VERSION": r"\S+",
    "LIBEXEC": r"/\S+",
    "CASDIR": r"/\S+",
    "FILE": r"[^/\s]+",
}
_WHOLE_LINES = {"<STATES>": _STATE_LINES}
_HELP_LINE = re.compile(r"<(?:AUTO)?HELP:([a-z-]+)>")
_PLACEHOLDER = re.compile(r"<([A-Z]+)>")


@dataclass(frozen=True)
class Transcript:
    number: int
    title: str
    scenario: str
    command: str
    exit: int
    stdout: tuple[str, ...]
    stderr: tuple[str, ...]
    note: str = ""
    before: tuple[str, ...] = ()
    env: str = ""
    user: str = ""
    cwd: str = ""

    @property
    def records_stderr(self) -> bool:
        return "stderr" not in self.note

    @property
    def is_defect(self) -> bool:
        """Of the recorded program's behaviour; the notes say so for 045 too, where only its help text is wrong."""
        return "do not copy" in self.note


def parse_transcript(path: Path) -> Transcript:
    fields: dict[str, str] = {}
    before: list[str] = []
    output: dict[str, list[str]] = {"stdout": [], "stderr": []}
    stream = ""
    for line in path.read_text().splitlines():
        if stream and line.startswith("|"):
            output[stream].append(line[1:])
            continue
        key, _, value = line.partition(":")
        if key in output:
            stream = key
        elif key == "before":
            before.append(value.strip())
        else:
            fields[key] = value.strip()
    return Transcript(
        number=int(path.name[:3]),
        title=fields["title"],
        scenario=fields["scenario"],
        command=fields["command"],
        exit=int(fields["exit"]),
        stdout=tuple(output["stdout"]),
        stderr=tuple(output["stderr"]),
        note=fields.get("note", ""),
        before=tuple(before),
        env=fields.get("env", ""),
        user=fields.get("user", ""),
        cwd=fields.get("cwd", ""),
    )


def load_transcripts() -> tuple[Transcript, ...]:
    return tuple(parse_transcript(path) for path in sorted(FOLDER.glob("[0-9]*.txt")))


def scenarios() -> dict[str, tuple[Transcript, ...]]:
    found: dict[str, tuple[Transcript, ...]] = {}
    for transcript in load_transcripts():
        found[transcript.scenario] = (*found.get(transcript.scenario, ()), transcript)
    return found


def fold_helper_lines(text: str) -> str:
    """Blanks in helper command lines do not count: the recorded program leaves one for each option not given."""
    lines = (
        " ".join(line.rstrip().split(" ")) if line.startswith("\thelper-location:") else line
        for line in text.splitlines()
    )
    return "".join(f"{line}\n" for line in lines)


def fill(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"<{name}>", value)
    return text


def _line_pattern(line: str, known: Mapping[str, str]) -> str:
    if line in _WHOLE_LINES:
        return _WHOLE_LINES[line]
    help_line = _HELP_LINE.fullmatch(line)
    if help_line is not None:
        command = r"COMMAND" if help_line[1] == "general" else re.escape(help_line[1])
        return rf"(?:.*\n)*Usage: \S+ {command} .*\n(?:.*\n)*"
    pieces = _PLACEHOLDER.split(line)
    pattern = re.escape(pieces[0])
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        pattern += re.escape(known[name]) if name in known else _VOLATILE[name]
        pattern += re.escape(rest)
    return pattern + r"\n"


def output_pattern(lines: tuple[str, ...], known: Mapping[str, str]) -> re.Pattern[str]:
    """What an output has to match as a whole; *known* are placeholders with a value of this run."""
    folded = fold_helper_lines("".join(f"{line}\n" for line in lines)).splitlines()
    return re.compile("".join(_line_pattern(line, known) for line in folded))
