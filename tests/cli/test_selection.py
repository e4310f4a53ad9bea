from pathlib import Path

import pytest

from getcert.entries import Properties, RequestEntry
from getcert.errors import CommandFailed, UsageError
from getcert.options import parse_options
from getcert.paths import database_location, file_location
from getcert.selection import Selection, find_or_fail, read_selection, require_location


def entry(nickname: str, **values: object) -> RequestEntry:
    properties = {name.replace("_", "-"): value for name, value in values.items()}
    return RequestEntry(f"/r/{nickname}", Properties({"nickname": nickname, **properties}))


ENTRIES = (
    entry("Web", cert_file="/e/web.crt"),
    entry("web", cert_file="/e/other.crt"),
    entry("db", cert_database="sql:/e/nss", cert_nickname="server", cert_token="T"),
)


def silent(line: str) -> None:
    raise AssertionError(line)


def test_a_nickname_in_its_exact_spelling_is_preferred_to_another() -> None:
    assert Selection(nickname="web").find(ENTRIES) is ENTRIES[1]
    assert Selection(nickname="WEB").find(ENTRIES) is ENTRIES[0]


def test_a_nickname_counts_more_than_a_location() -> None:
    assert Selection(nickname="db", file="/e/web.crt").find(ENTRIES) is ENTRIES[2]


def test_a_database_is_compared_with_its_scheme() -> None:
    assert Selection(database="sql:/e/nss", certificate_nickname="server").find(ENTRIES) is ENTRIES[2]
    assert Selection(database="/e/nss", certificate_nickname="server").find(ENTRIES) is None


def test_a_token_is_compared_when_it_is_known() -> None:
    assert Selection(database="sql:/e/nss", certificate_nickname="server", token="U").find(ENTRIES) is None


@pytest.mark.parametrize("show_help", [True, False])
def test_an_unknown_nickname_is_told_with_or_without_help(show_help: bool) -> None:
    with pytest.raises(CommandFailed, match="No request found with specified nickname") as caught:
        find_or_fail(Selection(nickname="x"), ENTRIES, show_help=show_help)
    assert isinstance(caught.value, UsageError) is show_help


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(database="/d"), "Database location or nickname specified without the other."),
        (Selection(certificate_nickname="n"), "Database location or nickname specified without the other."),
        (
            Selection(database="/d", certificate_nickname="n", file="/f"),
            "Database directory and certificate file both specified.",
        ),
        (Selection(token="t"), "none"),
    ],
)
def test_a_half_given_location_is_refused(selection: Selection, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_location(selection, nothing="none")
    assert caught.value.lines == (message,)


def test_paths_are_normalised_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert file_location(f"{tmp_path}/./link//x.crt", silent) == f"{tmp_path}/link/x.crt"
    assert database_location(f"sql:{tmp_path}/link/../link/", silent) == f"sql:{tmp_path}/link"


def test_a_relative_path_is_announced_and_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    selection = read_selection(parse_options(["certfile"], ["-f", "a.crt"]), told.append)
    assert selection.file == f"{tmp_path}/a.crt"
    assert told == [f'Path "a.crt" is not absolute, attempting to use "{tmp_path}/a.crt" instead.']


def test_impossible_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, complaint in (
        (f"{tmp_path}/none/x", f'Path "{tmp_path}/none": No such file or directory.'),
        (f"{tmp_path}/file/x", f'Path "{tmp_path}/file" is not a directory.'),
        (str(tmp_path), f'Path "{tmp_path}" is not a regular file.'),
    ):
        with pytest.raises(CommandFailed) as caught:
            file_location(path, silent)
        assert str(caught.value) == complaint
