import pytest
from hypothesis import given
from hypothesis import strategies as st

from getcert.errors import UsageError
from getcert.options import COMMON, OPTIONS, Kind, OptionListingRequested, parse_number, parse_options

NAMES = ("certfile", "id", "ca_path_length", "renew", "no_renew", *COMMON)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "x"],
        ["-fx"],
        ["-f=x"],
        ["--certfile", "x"],
        ["--certfile=x"],
        ["-sfx"],
        ["-sf", "x"],
        ["-i", "y", "-f", "z", "-f", "x"],
    ],
)
def test_an_argument_may_be_attached_or_follow_and_the_last_one_counts(arguments: list[str]) -> None:
    assert parse_options(NAMES, arguments).text("certfile") == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cert=x"], "unrecognized option --cert=x"),
        (["--help"], "unrecognized option --help"),
        (["-sx"], "unrecognized option -sx"),
        (["---"], "unrecognized option ---"),
        (["-f"], "missing argument for -f"),
        (["-svi"], "missing argument for -svi"),
        (["--certfile"], "missing argument for --certfile"),
        (["--verbose=1"], "option does not take an argument"),
        (["--ca-path-length", "soon"], "invalid numeric value"),
        (["--ca-path-length=99999999999"], "number too large or too small"),
    ],
)
def test_a_mistake_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(NAMES, arguments)
    assert caught.value.lines == (message,)


def test_other_arguments_may_stand_anywhere_and_two_dashes_end_the_options() -> None:
    options = parse_options(NAMES, ["one", "-v", "-", "--", "-s"])
    assert options.arguments == ("one", "-", "-s")
    assert options.given("verbose")
    assert not options.given("session")


def test_of_two_exclusive_flags_the_last_one_counts() -> None:
    options = parse_options(NAMES, ["-r", "-R", "-r", "-v"])
    assert options.last_of("renew", "no_renew") == "renew"
    assert options.last_of("session", "system") is None


def test_all_arguments_of_a_repeated_option_are_kept_in_order() -> None:
    assert parse_options(["dns"], ["-D", "a", "--dns=", "-Db"]).texts("dns") == ("a", "", "b")


def test_the_undocumented_listing_option_is_found_among_bundled_letters() -> None:
    with pytest.raises(OptionListingRequested):
        parse_options(NAMES, ["-vH"])


@pytest.mark.parametrize(("text", "number"), [("5", 5), ("-5", -5), ("0x10", 16), ("010", 8), ("", 0), (" 7", 7)])
def test_numbers_are_written_as_in_c(text: str, number: int) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["5s", "--5", "0x", "09", "1_0", "5 5"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(UsageError):
        parse_number(text)


@given(st.lists(st.text(alphabet="-=fivsSx0 ñ", max_size=6), max_size=6))
def test_a_command_line_is_read_or_refused_with_a_usage_error(arguments: list[str]) -> None:
    try:
        options = parse_options(NAMES, arguments)
    except UsageError:
        return
    assert all(value == "" for name, value in options.occurrences if OPTIONS[name].kind is Kind.FLAG)
