"""Command strings are split as a shell would, without being one."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.runner.words import quote, split_command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n ", []),
        ("/usr/bin/helper -d  /some/dir", ["/usr/bin/helper", "-d", "/some/dir"]),
        ("'arg one' \"two three\"", ["arg one", "two three"]),
        (r"four\ five", ["four five"]),
        ("a''b \"\" ''", ["ab", "", ""]),
        (r'"a\"b\\c\d"', [r'a"b\c\d']),
        (r"'a\b'", [r"a\b"]),
        ("$HOME `date` * ~ #x", ["$HOME", "`date`", "*", "~", "#x"]),
        ("a;b&&c", ["a;b&&c"]),
        ("a\\\nb", ["ab"]),
        ('"a\\\nb"', ["ab"]),
    ],
)
def test_words_are_those_of_a_shell_without_expansion(text: str, words: list[str]) -> None:
    assert split_command(text) == words


@pytest.mark.parametrize("text", ["'open", '"open', "it's", "back\\", '"a\\"', "nul\0"])
def test_what_cannot_be_split_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        split_command(text, what="ca-external-helper")
    assert caught.value.what == "ca-external-helper"


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_quoting_is_undone_by_splitting(words: list[str]) -> None:
    assert split_command(quote(words)) == words


@given(st.text(st.sampled_from("ab'\"\\ \t")))
def test_splitting_agrees_with_a_posix_splitter(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        with pytest.raises(InvalidValue):
            split_command(text)
    else:
        assert split_command(text) == expected


@given(st.text())
def test_nothing_but_the_declared_error_is_raised(text: str) -> None:
    try:
        words = split_command(text)
    except InvalidValue:
        return
    assert split_command(quote(words)) == words
