"""From a document's text to the CAs and requests that it declares."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from yaml.nodes import Node

from certmongerd.core.errors import InvalidValue
from certmongerd.core.pkcs11_uri import is_pkcs11, parse_uri
from certmongerd.declared import schema
from certmongerd.declared.nodes import Entry, Misread, Mistake, compose, elements, entries, flag, line_of, text, texts
from certmongerd.scep.caps import parse_cipher, parse_digest

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was declared."""

    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredCa:
    """A CA as a document wants it; None and absent locations leave alone what is there."""

    name: str
    place: Place
    command: str | None = None
    is_default: bool | None = None
    scep_cipher: str | None = None
    scep_digest: str | None = None
    scep_ca_identifier: str | None = None
    before_command: str | None = None
    after_command: str | None = None
    locations: Mapping[str, tuple[str, ...]]
    """By the field of CaCertLocations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRequest:
    """A request as a document wants it; settings that are not there leave alone what is there."""

    name: str
    place: Place
    ca: str | None = None
    storage: Mapping[str, str]
    """Keys of `add_request` that say where key and certificate are."""
    settings: Mapping[str, schema.Value]
    """Keys of `add_request` and `modify`, without those."""
    options: Mapping[str, str]
    """What the document calls each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one document, or several together, declare."""

    cas: tuple[DeclaredCa, ...] = ()
    requests: tuple[DeclaredRequest, ...] = ()
    mistakes: tuple[str, ...] = ()
    """With their places. A document that has some is not applied."""


def read_document(source: str, content: str, helper_dir: str) -> Document:
    """What the YAML text *content* declares. *source* names it in messages; *helper_dir* has the SCEP helper."""
    return _Reader(source, helper_dir).read(content)


def join_documents(documents: Iterable[Document]) -> Document:
    """All of *documents* as one; what two of them declare is a mistake of the second."""
    found = tuple(documents)
    cas = tuple(ca for document in found for ca in document.cas)
    requests = tuple(request for document in found for request in document.requests)
    mistakes = [mistake for document in found for mistake in document.mistakes]
    mistakes += _repetitions("CA", ((ca.name, ca.place) for ca in cas))
    mistakes += _repetitions("request", ((request.name, request.place) for request in requests))
    return Document(cas=cas, requests=requests, mistakes=tuple(mistakes))


def _repetitions(what: str, named: Iterable[tuple[str, Place]]) -> Iterator[str]:
    """Nicknames that differ in case only count as equal, as they do for the daemon."""
    first: dict[str, Place] = {}
    for name, place in named:
        before = first.setdefault(name.casefold(), place)
        if before is not place:
            yield f'{place}: {what} "{name}" is declared already, at {before}'


_TOP_KEYS: Final = frozenset(("cas", "defaults", "requests"))
_CA_LOCATIONS: Final = {
    "ca-file": "root_files",
    "other-root-file": "other_root_files",
    "chain-file": "other_files",
    "ca-dbdir": "root_dbs",
    "other-root-dbdir": "other_root_dbs",
    "chain-dbdir": "other_dbs",
}
_SCEP_FILES: Final = {"ca-cert": "-R", "ra-cert": "-r", "other-certs": "-I", "signingca": "-N"}
"""Key, and option of the helper."""
_CA_TEXTS: Final = ("name", "command", "before-command", "after-command", "url", "identifier")
_CA_KEYS: Final = frozenset(
    (*_CA_TEXTS, *_SCEP_FILES, *_CA_LOCATIONS, "default", "scep-cipher", "scep-digest", "system-trust", "non-renewal")
)
_REQUEST_KEYS: Final = frozenset((*schema.NAMES, *schema.LOCATIONS, *schema.SETTINGS))
_DEFAULTS_KEYS: Final = _REQUEST_KEYS - {"id", *schema.LOCATIONS}
_EITHER: Final = (("pin", "pinfile"), ("challenge-password", "challenge-password-file"))
"""Keys that exclude each other."""


def _without_alternatives(defaults: Mapping[str, Entry], own: Mapping[str, Entry]) -> dict[str, Entry]:
    """*defaults* without what something in *own* is said instead of."""
    pairs = (*_EITHER, *((other, one) for one, other in _EITHER))
    unwanted = {other for one, other in pairs if one in own}
    return {key: entry for key, entry in defaults.items() if key not in unwanted}


class _Reader:
    """Reads one document; goes on after a mistake, so that one run finds all of them."""

    def __init__(self, source: str, helper_dir: str) -> None:
        self._source = source
        self._helper_dir = helper_dir
        self._mistakes: list[Mistake] = []

    def read(self, content: str) -> Document:
        defaults: dict[str, Entry] = {}
        cas: tuple[DeclaredCa, ...] = ()
        requests: tuple[DeclaredRequest, ...] = ()
        top = self._attempt(lambda: self._top(content)) or {}
        if "defaults" in top:
            node = top["defaults"].value
            defaults = self._attempt(lambda: self._mapping(node, "defaults", _DEFAULTS_KEYS)) or {}
        if "cas" in top:
            cas = self._each(top["cas"], self._ca)
        if "requests" in top:
            requests = self._each(top["requests"], lambda node: self._request(node, defaults))
        mistakes = sorted(self._mistakes, key=lambda mistake: mistake.line)
        own = Document(
            cas=cas,
            requests=requests,
            mistakes=tuple(f"{Place(self._source, mistake.line)}: {mistake.reason}" for mistake in mistakes),
        )
        return join_documents([own])

    def _top(self, content: str) -> dict[str, Entry]:
        root = compose(content)
        return self._mapping(root, "the document", _TOP_KEYS) if root is not None else {}

    def _attempt(self, read: Callable[[], V]) -> V | None:
        try:
            return read()
        except Misread as exc:
            self._mistakes.append(exc.mistake)
            return None

    def _each(self, entry: Entry, read: Callable[[Node], V | None]) -> tuple[V, ...]:
        nodes = self._attempt(lambda: elements(entry.value, entry.key)) or ()
        found = (self._attempt(lambda node=node: read(node)) for node in nodes)  # type: ignore[misc]  # bound now
        return tuple(value for value in found if value is not None)

    def _mapping(self, node: Node, what: str, known: frozenset[str]) -> dict[str, Entry]:
        """The entries of a mapping by key; those that are unknown or repeated are mistakes. Raises Misread."""
        found: dict[str, Entry] = {}
        for entry in entries(node, what):
            if entry.key not in known:
                self._mistakes.append(Mistake(entry.line, f"{entry.key} is not a key that is known in {what}"))
            elif entry.key in found:
                self._mistakes.append(Mistake(entry.line, f"{entry.key} is there already"))
            else:
                found[entry.key] = entry
        return found

    def _value(self, found: Mapping[str, Entry], key: str, read: Callable[[Node], V]) -> V | None:
        """The value of *key*, None when it is absent or a mistake."""
        entry = found.get(key)
        if entry is None:
            return None
        try:
            return read(entry.value)
        except Misread as exc:
            self._mistakes.append(Mistake(exc.mistake.line, f"{key}: {exc.mistake.reason}"))
            return None

    def _name(self, found: Mapping[str, Entry], key: str, node: Node, what: str) -> str:
        """The required name of a CA or request. Raises Misread."""
        name = self._value(found, key, text)
        if not name:
            raise Misread(line_of(node), f"{what} needs a name ({key})")
        return name

    # CAs

    def _ca(self, node: Node) -> DeclaredCa:
        found = self._mapping(node, "a CA", _CA_KEYS)
        name = self._name(found, "name", node, "a CA")
        locations = {field: self._value(found, key, texts) for key, field in _CA_LOCATIONS.items()}
        return DeclaredCa(
            name=name,
            place=Place(self._source, line_of(node)),
            command=self._command(found),
            is_default=self._value(found, "default", flag),
            scep_cipher=self._algorithm(found, "scep-cipher", parse_cipher),
            scep_digest=self._algorithm(found, "scep-digest", parse_digest),
            scep_ca_identifier=self._value(found, "identifier", text),
            before_command=self._value(found, "before-command", text),
            after_command=self._value(found, "after-command", text),
            locations={field: value for field, value in locations.items() if value is not None},
        )

    def _algorithm(self, found: Mapping[str, Entry], key: str, check: Callable[[str], object]) -> str | None:
        def read(node: Node) -> str:
            word = text(node)
            try:
                if word:
                    check(word)
            except InvalidValue as exc:
                raise Misread(line_of(node), exc.reason) from exc
            return word

        return self._value(found, key, read)

    def _command(self, found: Mapping[str, Entry]) -> str | None:
        """The helper command: as given, or that of the SCEP helper. Raises Misread."""
        command, url = self._value(found, "command", text), self._value(found, "url", text)
        if url is None:
            for key in (*_SCEP_FILES, "system-trust", "non-renewal"):
                if key in found:
                    raise Misread(found[key].line, f"{key} belongs to a SCEP server, whose url is missing")
            return command
        if command is not None:
            raise Misread(found["url"].line, "command and url exclude each other")
        trusts_host = self._value(found, "system-trust", flag) or False
        if "ca-cert" in found and trusts_host:
            raise Misread(found["ca-cert"].line, "ca-cert and system-trust exclude each other")
        if url.lower().startswith("https:") and "ca-cert" not in found and not trusts_host:
            raise Misread(found["url"].line, "https needs ca-cert or system-trust to check the server with")
        words = [f"{self._helper_dir}/scep-submit", "-u", url]
        for key, option in (*_SCEP_FILES.items(), ("identifier", "-i")):
            value = self._value(found, key, text)
            words += [] if value is None else [option, value]
        if self._value(found, "non-renewal", flag):
            words.append("-n")
        return shlex.join(words)

    # Requests

    def _request(self, node: Node, defaults: Mapping[str, Entry]) -> DeclaredRequest:
        own = self._mapping(node, "a request", _REQUEST_KEYS)
        name = self._name(own, "id", node, "a request")
        found = {**_without_alternatives(defaults, own), **own}
        settings, options = {}, {}
        for option, key in schema.SETTINGS.items():
            value = self._value(found, option, key.read)
            if value is not None:
                settings[key.setting], options[key.setting] = value, option
        for one, other in _EITHER:
            if one in own and other in own:
                raise Misread(own[one].line, f"{one} and {other} exclude each other")
        return DeclaredRequest(
            name=name,
            place=Place(self._source, line_of(node)),
            ca=self._value(found, "ca", text),
            storage=self._storage(found, line_of(node)),
            settings=settings,
            options=options,
        )

    def _storage(self, found: Mapping[str, Entry], line: int) -> dict[str, str]:
        """Where key and certificate are, as `add_request` wants it. Raises Misread."""
        given = {key: self._value(found, key, text) for key in schema.LOCATIONS if key in found}
        if "certfile" in found:
            for key in ("nickname", "token"):
                if key in found:
                    raise Misread(found[key].line, f"{key} belongs to an NSS database; there is a certfile")
            storage = {"CERT_STORAGE": "FILE", "CERT_LOCATION": given["certfile"] or ""}
            key_file = given.get("keyfile")
            if key_file and is_pkcs11(key_file):
                try:
                    parse_uri(key_file)
                except InvalidValue as exc:
                    raise Misread(found["keyfile"].line, exc.reason) from exc
                return storage | {"KEY_STORAGE": "PKCS11", "KEY_LOCATION": key_file, "KEY_NICKNAME": key_file}
            return storage if not key_file else storage | {"KEY_STORAGE": "FILE", "KEY_LOCATION": key_file}
        if "dbdir" not in found or "nickname" not in found:
            raise Misread(line, "a request needs certfile, and mostly keyfile; or dbdir and nickname")
        places = {"STORAGE": "NSSDB", "LOCATION": given["dbdir"] or "", "NICKNAME": given["nickname"] or ""}
        if given.get("token"):
            places["TOKEN"] = given["token"] or ""
        return {f"{what}_{name}": value for what in ("CERT", "KEY") for name, value in places.items()}
