"""Kerberos without its library: the default realm from krb5.conf, and principal names in their canonical form."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from getcert.errors import CommandFailed

CONFIG_VARIABLE: Final = "KRB5_CONFIG"
"""Names one or more files, separated by colons, to read in place of the usual one."""
_USUAL_CONFIG: Final = "/etc/krb5.conf"
_FOREIGN_MODULE: Final = re.compile(r"module\s")
_INCLUDABLE: Final = re.compile(r"[A-Za-z0-9_-]+|[^.].*\.conf")
_BAD_CONFIG: Final = "Improper format of Kerberos configuration file"
_MISSING_INCLUDE: Final = "Included profile file could not be read"
_MALFORMED: Final = "Malformed representation of principal"
_NO_REALM: Final = "Configuration file does not specify default realm"
_MAX_INCLUDES: Final = 100
_ESCAPES: Final = {"n": "\n", "t": "\t", "b": "\b", "0": "\0"}
_QUOTED: Final = {"\n": "\\n", "\t": "\\t", "\b": "\\b", "\0": "\\0", "\\": "\\\\", "/": "\\/", "@": "\\@"}


def _config_error(reason: str) -> CommandFailed:
    return CommandFailed(f"Error initializing Kerberos library: {reason}.")


class _Profile:
    """Reads the `[section]`, `key = value`, `key = {` … `}` syntax and keeps libdefaults' default_realm."""

    def __init__(self) -> None:
        self.default_realm: str | None = None
        self._included = 0

    def read_top(self, path: str) -> None:
        """Read a file or all files of a directory; what cannot be opened is left out."""
        try:
            if os.path.isdir(path):
                self._read_directory(path)
            else:
                self._read_file(path)
        except OSError:
            # Kerberos programs work without configuration, and a file that others may read is not our concern.
            return

    def _read_directory(self, path: str) -> None:
        for name in sorted(os.listdir(path)):
            if _INCLUDABLE.fullmatch(name):
                self._read_file(os.path.join(path, name))

    def _read_file(self, path: str) -> None:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            self._parse(iter(file.read().splitlines()))

    def _include(self, read: Callable[[str], None], path: str) -> None:
        self._included += 1
        if self._included > _MAX_INCLUDES:
            raise _config_error(_BAD_CONFIG)
        try:
            read(path)
        except OSError as exc:
            raise _config_error(_MISSING_INCLUDE) from exc

    def _parse(self, lines: Iterator[str]) -> None:
        section: str | None = None
        depth = 0
        brace_expected = False
        for raw in lines:
            line = raw.strip()
            if not line or line[0] in "#;":
                continue
            if brace_expected:
                if line != "{":
                    raise _config_error(_BAD_CONFIG)
                brace_expected, depth = False, depth + 1
            elif include := re.fullmatch(r"include(dir)?\s+(/.*)", line):
                self._include(self._read_directory if include[1] else self._read_file, include[2])
            elif section is None and _FOREIGN_MODULE.match(line):
                return
            elif line.startswith("["):
                section = self._section_name(line, depth)
            elif section is not None:
                change, brace_expected = self._entry(line, section, depth)
                depth += change

    @staticmethod
    def _section_name(line: str, depth: int) -> str:
        header = re.fullmatch(r"\[([^\]]+)\]\*?\s*", line)
        if header is None or depth:
            raise _config_error(_BAD_CONFIG)
        return header[1]

    def _entry(self, line: str, section: str, depth: int) -> tuple[int, bool]:
        """Take in one line of a section; how the nesting changes, and whether an opening brace has to follow."""
        if line.startswith("}"):
            if not depth:
                raise _config_error(_BAD_CONFIG)
            return -1, False
        key, equals, value = line.partition("=")
        key, value = key.rstrip().removesuffix("*"), value.strip()
        if not equals or not key or re.search(r"\s", key):
            raise _config_error(_BAD_CONFIG)
        if value == "{":
            return 1, False
        if value.startswith('"'):
            value = value[1:].partition('"')[0]
        elif not value:
            return 0, True
        if section == "libdefaults" and key == "default_realm" and not depth and self.default_realm is None:
            self.default_realm = value
        return 0, False


def read_default_realm(environment: Mapping[str, str]) -> str | None:
    """The realm of names that tell none, None when the configuration has none. Raises CommandFailed."""
    profile = _Profile()
    for path in (environment.get(CONFIG_VARIABLE) or _USUAL_CONFIG).split(":"):
        profile.read_top(path)
    return profile.default_realm


def _split_principal(name: str) -> tuple[list[str], str | None] | None:
    """Components and realm with the escapes resolved; None for something malformed."""
    components: list[str] = [""]
    realm: str | None = None
    characters = iter(name)
    for character in characters:
        piece = character
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                return None
            piece = _ESCAPES.get(escaped, escaped)
        elif character == "@":
            if realm is not None:
                return None
            realm = ""
            continue
        elif character == "/":
            if realm is not None:
                return None
            components.append("")
            continue
        if realm is None:
            components[-1] += piece
        else:
            realm += piece
    return components, realm


def _quote(text: str) -> str:
    return "".join(_QUOTED.get(character, character) for character in text)


def canonical_principal(name: str, default_realm: str | None) -> str:
    """*name* with its realm (`HTTP/x` becomes `HTTP/x@REALM`); empty stays empty. Raises CommandFailed."""
    if not name:
        return name
    split = _split_principal(name)
    if split is None:
        raise CommandFailed(f'Error parsing Kerberos principal name "{name}": {_MALFORMED}.')
    components, realm = split
    if realm is None:
        if default_realm is None:
            raise CommandFailed(f'Error parsing Kerberos principal name "{name}": {_NO_REALM}.')
        realm = default_realm
    return "/".join(map(_quote, components)) + "@" + _quote(realm)


def host_principal(host: str, default_realm: str | None) -> str | None:
    """The `host` service of *host*, None without a realm."""
    return None if default_realm is None else f"host/{_quote(host)}@{_quote(default_realm)}"
