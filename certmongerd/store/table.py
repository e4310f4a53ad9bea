"""Tables of keys: what ties the records of a state file to the fields of a frozen value. No I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Generic, TypeVar, cast

from certmongerd.store.format import Record
from certmongerd.store.values import Codec, Malformed

T = TypeVar("T")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Row(Generic[M]):
    """One key of a state file."""

    key: str
    path: str
    """Field of the entry, or `group.field`."""
    codec: Codec[object]
    when: Callable[[M], bool] | None = None
    """A further condition for writing the key; empty text is never written."""
    is_read: bool = True
    """False for keys that are written for certmonger's sake only."""


def row(
    key: str, path: str, codec: Codec[T], *, when: Callable[[M], bool] | None = None, is_read: bool = True
) -> Row[M]:
    """A row; the caller vouches that *path* leads to a value of the codec's type."""
    return Row(key, path, cast("Codec[object]", codec), when, is_read)


@dataclass(slots=True)
class Reading:
    """The fields found in a file, before they become one value."""

    fields: dict[str, dict[str, object]] = field(default_factory=dict)
    """Field values by group; the group of the entry's own fields is called ""."""
    unknown: list[tuple[str, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What was wrong with values, in words; values themselves are not repeated."""

    def group(self, name: str) -> dict[str, object]:
        """The values found for one group, to be changed in place."""
        return self.fields.setdefault(name, {})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the value of a key goes."""

    group: str
    attribute: str
    read: Callable[[str], object] | None
    """None for a key whose value is not read."""
    is_line: bool
    """Whether the value should not have several lines."""

    @classmethod
    def of(cls, item: Row[M]) -> "_Place":
        group, _, attribute = item.path.rpartition(".")
        return cls(group, attribute, item.codec.read if item.is_read else None, not item.codec.is_block)


class Table(Generic[M]):
    """All keys of one kind of state file, in the order in which they are written."""

    def __init__(self, rows: Sequence[Row[M]], old_spellings: Mapping[str, tuple[str, ...]], blank: M) -> None:
        """*blank* is an entry with nothing set: most values of most entries are what they are in it."""
        self.rows: Final = tuple(rows)
        self._old_spellings: Final = old_spellings
        self._places: Final = {item.key: _Place.of(item) for item in rows}
        self._known: Final = frozenset(self._places) | frozenset(old_spellings)
        self._values: Final = attrgetter(*(item.path for item in rows))
        self._writers: Final = [
            (item.key, item.codec.write, item.when, value, item.codec.write(value))
            for item, value in zip(rows, self._values(blank), strict=True)
        ]

    def read(self, records: Iterable[Record]) -> Reading:
        """Sort records into fields. Of a repeated key the last one counts; case is ignored."""
        reading = Reading()
        texts: dict[str, str] = {}
        for key, text in records:
            name = key.lower()
            if name in self._known:
                texts[name] = text
            else:
                reading.unknown.append((key, text))
        for old, names in self._old_spellings.items():
            if old in texts:
                text = texts.pop(old)
                for name in names:
                    texts.setdefault(name, text)
        for name, text in texts.items():
            place = self._places[name]
            if place.is_line and "\n" in text:
                self._complain_about_indented_keys(reading, name, text)
            if place.read is not None:
                try:
                    reading.group(place.group)[place.attribute] = place.read(text)
                except Malformed as exc:
                    reading.complaints.append(f"the value of {name} {exc}")
                    if exc.instead is not None:
                        reading.group(place.group)[place.attribute] = exc.instead
        return reading

    def write(self, entry: M, unknown: Iterable[tuple[str, str]]) -> list[Record]:
        """The records of *entry*: keys of the table in order, then *unknown* ones."""
        records: list[Record] = []
        for (key, write, when, usual, usual_text), value in zip(self._writers, self._values(entry), strict=True):
            text = usual_text if value is usual else write(value)
            if text and (when is None or when(entry)):
                records.append(Record(key, text))
        records.extend(Record(key, text) for key, text in unknown)
        return records

    def _complain_about_indented_keys(self, reading: Reading, name: str, text: str) -> None:
        for line in text.split("\n")[1:]:
            key = line.partition("=")[0].strip().lower()
            if "=" in line and key in self._known:
                reading.complaints.append(f"an indented line with {key} was read as part of {name}")
