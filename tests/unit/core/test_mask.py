"""Secrets are hidden in texts that strangers wrote."""

from certmongerd.core.mask import NOTHING_HIDDEN, Mask


def test_words_are_hidden_the_longest_first() -> None:
    mask = Mask(["open sesame", "open"])
    assert mask.hide("wrong: open sesame, open; opening") == "wrong: …, …; …ing"
    assert NOTHING_HIDDEN.hide("open") == "open"


def test_what_is_hidden_does_not_show_in_the_mask_itself() -> None:
    assert "sesame" not in repr(Mask(["sesame"]))


def test_a_word_that_is_in_too_many_texts_is_left() -> None:
    assert Mask(["", "a", "abc"]).hide("abc") == "abc"
