"""Manual pages are complete, and a reader's programs have nothing to complain about."""

import re
import shutil
import subprocess
from pathlib import Path

import manpages
import pytest
from manpages import PageError, build, subjects

from certmongerd.config import load
from certmongerd.config.settings import Settings
from certmongerd.options import make_parser
from getcert.main import COMMANDS, PINNED_CAS
from getcert.options import COMMON, OPTIONS

HELPERS = sorted(path.name for path in manpages.HELPERS.iterdir())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    build(folder)
    return folder


def shown(pages: Path, name: str) -> str:
    """A page as man shows it, blanks and line ends as one blank."""
    done = subprocess.run(
        ["man", "--warnings", "-M", str(pages), name],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return " ".join(re.sub(".\b", "", done.stdout).split())


def test_pages_render_without_warnings(pages: Path) -> None:
    found = sorted(pages.glob("man?/*"))
    assert len(found) == len(subjects()) + len(manpages.SAME_AS)
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8", "-I", str(pages), *map(str, found)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_of_its_command(pages: Path, name: str) -> None:
    text = shown(pages, f"getcert-{name}")
    assert f"getcert-{name} - " in text
    for option_name in (*(name for _, group in COMMANDS[name].load().GROUPS for name in group), *COMMON):
        option = OPTIONS[option_name]
        short = f"-{option.short}{f' {option.metavar}' if option.metavar else ''}, " if option.short else ""
        assert f"{short}--{option.long}" in text
    assert "SEE ALSO getcert(1), certmongerd(8)" in text


def test_the_first_page_leads_to_all_commands(pages: Path) -> None:
    text = shown(pages, "getcert")
    for name in COMMANDS:
        assert f"See getcert-{name}(1)." in text


def test_the_daemons_page_has_every_option_of_its_help(pages: Path) -> None:
    text = shown(pages, "certmongerd")
    for spelling in re.findall(r"--[a-z][a-z-]+", make_parser().format_help()):
        assert f"{spelling}" in text
    assert shown(pages, "certmonger") == text


@pytest.mark.parametrize("program", HELPERS)
def test_a_helpers_page_has_every_option_of_its_help(pages: Path, program: str) -> None:
    help_text = subprocess.run(
        [manpages.HELPERS / program, "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    text = shown(pages, f"certmonger-{program}")
    for spelling in re.findall(r"(?<![\w-])--?[a-zA-Z?][a-z-]*", help_text.split("options:")[1]):
        assert spelling in text


def test_the_page_of_the_configuration_has_every_key(pages: Path) -> None:
    text = shown(pages, "certmonger.conf")
    for _, key in load._KEYS:
        assert re.search(rf"(?<!\w){key}(?!\w)", text), key
    assert f"Default: {Settings().digest}." in text


@pytest.mark.parametrize("alias", PINNED_CAS)
def test_other_names_lead_to_the_same_page(pages: Path, alias: str) -> None:
    assert shown(pages, alias) == shown(pages, "getcert")


def test_what_has_no_text_or_no_place_for_its_options_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tmp_path / "docs" / "man"
    shutil.copytree(manpages.PROJECT / "docs", texts.parent)
    monkeypatch.setattr(manpages, "TEXTS", texts)  # the seam is the folder that the program is built with
    build(tmp_path / "out")
    (texts / "getcert-nosuch.1.md").write_text("# nothing\n")
    with pytest.raises(PageError, match=r"getcert-nosuch\.1"):
        build(tmp_path / "out")
    (texts / "getcert-nosuch.1.md").unlink()
    (texts / "getcert-list.1.md").write_text("# show\n\n## DESCRIPTION\n\nText.\n")
    with pytest.raises(PageError, match=r"getcert-list\.1\.md has no line \{options\}"):
        build(tmp_path / "out")
    (texts / "getcert-list.1.md").unlink()
    with pytest.raises(PageError, match=r"docs/man/getcert-list\.1\.md is missing"):
        build(tmp_path / "out")
