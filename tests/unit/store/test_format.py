"""The line syntax of state files."""

import pytest
import store_values
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.store.format import MAXIMUM_LINE, Record, parse, render

_records = st.lists(st.builds(Record, store_values.keys, store_values.texts))


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"id=x\n", [("id", "x")]),
        (b"id=x", [("id", "x")]),
        (b"id=x\r\nstate=y\r\n", [("id", "x"), ("state", "y")]),
        (b"id= x \n", [("id", " x ")]),
        (b"id =x\n", [("id ", "x")]),
        (b"ID=x\nid=y\n", [("ID", "x"), ("id", "y")]),
        (b"id=a=b\n", [("id", "a=b")]),
        (b"id=\n", [("id", "")]),
        (b"a=1\n 2\n  3\n", [("a", "1\n2\n 3")]),
        (b"a=1\r\n 2\r\n", [("a", "1\n2")]),
        (b"a=\n 2\n", [("a", "\n2")]),
        (b"a=1\n \n", [("a", "1\n")]),
        (b"a=1\n#c\n;c\n 2\n", [("a", "1\n2")]),
        (b"#id=x\n;id=y\nid=z\n", [("id", "z")]),
        (b"a=1\n #2\n", [("a", "1\n#2")]),
        (b"=id=x\n", [("id", "x")]),
        (b"==x\n", [("", "=x")]),
        (b"=\n", []),
        (b"what\n", [("", "what")]),
        (b"a=1\n\n b=2\n", [("a", "1"), (" b", "2")]),
        (b"a=caf\xc3\xa9\n", [("a", "café")]),
        (b"a=caf\xe9\n", [("a", "caf\udce9")]),
    ],
)
def test_records_of_a_file(data: bytes, records: list[tuple[str, str]]) -> None:
    assert parse(data) == records


@given(_records)
def test_parsing_undoes_rendering(records: list[Record]) -> None:
    assert parse(render(records)) == records


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_text_but_nul_survives_as_a_value(text: str) -> None:
    assert parse(render([Record("a", text), Record("b", "")])) == [("a", text), ("b", "")]


@given(st.binary())
def test_any_bytes_without_nul_keep_their_records(data: bytes) -> None:
    records = parse(data.replace(b"\0", b""))

    assert parse(render(records)) == records


@given(st.binary())
def test_parsing_raises_nothing_but_the_declared_error(data: bytes) -> None:
    try:
        parse(data)
    except InvalidValue:
        assert b"\0" in data


@given(_records, _records)
def test_no_value_reaches_into_the_next_record(before: list[Record], after: list[Record]) -> None:
    assert parse(render(before) + render(after)) == before + after


def test_a_nul_byte_is_refused_when_reading() -> None:
    with pytest.raises(InvalidValue, match="NUL byte at offset 4"):
        parse(b"id=x\0\n")


def test_a_nul_is_refused_when_writing_and_its_key_is_named() -> None:
    with pytest.raises(InvalidValue, match="secret_key") as caught:
        render([Record("id", "x"), Record("secret_key", "hush\0")])
    assert "hush" not in str(caught.value)


def test_a_huge_line_is_refused() -> None:
    with pytest.raises(InvalidValue, match="line"):
        parse(b"id=" + b"x" * MAXIMUM_LINE)


@pytest.mark.parametrize("key", ["a=b", "a\nb"])
def test_a_key_that_would_break_the_syntax_is_refused(key: str) -> None:
    with pytest.raises(InvalidValue):
        render([Record(key, "x")])


def test_text_without_encoding_is_refused() -> None:
    with pytest.raises(InvalidValue):
        render([Record("a", "\ud800")])


def test_a_carriage_return_at_the_end_of_a_line_is_kept() -> None:
    assert render([Record("a", "x\r\ny\r")]) == b"a=x\r\r\n y\r\r\n"
