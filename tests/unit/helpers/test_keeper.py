"""The process that stays root for acme-submit does what it is there for, and nothing else."""

import json
from pathlib import Path

import pytest

from certmonger_helpers.acme import keeper as keeper_module
from certmonger_helpers.acme.http01 import Webroot
from certmonger_helpers.acme.keeper import Keeper
from certmonger_helpers.outcome import HelperError, Unreachable


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


async def test_files_are_published_and_withdrawn(tmp_path: Path) -> None:
    keeper = Keeper(Webroot(directory=tmp_path).tasks)
    await keeper.do("publish", "token", "token.thumbprint")
    published = tmp_path / ".well-known/acme-challenge/token"
    assert published.read_text() == "token.thumbprint"
    await keeper.do("withdraw", "token")
    assert not published.exists()
    keeper.close()


@pytest.mark.parametrize(
    "question",
    [
        ("publish", "../../escape", "x"),
        ("publish", "..", "x"),
        ("withdraw", "../../../key"),
        ("publish", "token", "two\nlines"),
        ("present", "_acme-challenge.example.org.", "x"),
        ("__class__", "x"),
        ("publish", "token"),
    ],
)
async def test_what_no_challenge_asks_for_is_not_done(tmp_path: Path, question: tuple[str, ...]) -> None:
    (tmp_path / "key").write_text("private")
    keeper = Keeper(Webroot(directory=tmp_path).tasks)
    with pytest.raises(HelperError):
        await keeper.do(*question)
    keeper.close()
    assert names_in(tmp_path) == ["key"]


async def test_its_own_failures_are_told(tmp_path: Path) -> None:
    keeper = Keeper(Webroot(directory=tmp_path / "absent").tasks)
    with pytest.raises(HelperError, match="does not exist"):
        await keeper.do("publish", "token", "text")
    keeper.close()


async def test_a_process_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", _fail)
    keeper = Keeper({})
    monkeypatch.undo()
    with pytest.raises(Unreachable, match="is gone"):
        await keeper.do("publish", "token", "text")
    keeper.close()


def _fail(_: bytes) -> None:
    raise RuntimeError


@pytest.mark.parametrize("question", ["publish", {}, [], [1], [["publish"]]])
def test_only_lists_of_words_are_questions(question: object) -> None:
    status, _ = keeper_module._answer(question, {})
    assert status == 3
