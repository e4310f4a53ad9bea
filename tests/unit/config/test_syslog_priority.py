"""Facility and level in a notification destination."""

import pytest

from certmongerd.config.syslog_priority import priority, unknown_words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("daemon.notice", 0x1D),
        ("local3.err", 0x9B),
        ("LOCAL7|Debug", 0xBF),
        ("kern/emerg", 0),
        ("auth:warning", 0x24),
        ("", 0x0D),
        ("nonsense.words", 0x0D),
        ("mail", 0x15),
        ("crit", 0x0A),
    ],
)
def test_words_become_the_number_of_rfc_5424(text: str, number: int) -> None:
    assert priority(text) == number


def test_words_that_mean_nothing_are_told() -> None:
    assert unknown_words("Daemon.nonsense|notice") == ("nonsense",)
    assert unknown_words("") == ()
