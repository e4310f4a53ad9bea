import shlex
from pathlib import Path

import pytest
from cli.certificates import write_certificates
from cli.rig import running
from hypothesis import given
from hypothesis import strategies as st

from getcert.commands.helper_command import quote_argument
from getcert.main import run


@given(st.lists(st.text(alphabet="a/:'\"\\ \t\n$&|;#ä`()<>*?~=", max_size=10), min_size=1, max_size=5))
def test_quoted_arguments_are_split_into_what_they_were(arguments: list[str]) -> None:
    assert shlex.split(" ".join(map(quote_argument, arguments))) == arguments


def test_an_ampersand_is_quoted_as_recorded_and_a_question_mark_is_not() -> None:
    assert quote_argument("http://127.0.0.1:9/scep?a=1&b=2") == r"http://127.0.0.1:9/scep?a=1\&b=2"


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("text", "nothing\n", ["The RA certificate(s) in {path} is not valid PEM"]),
        ("empty", "", ["{path} is an empty file.", "The RA certificate(s) in {path} is not valid PEM"]),
        (
            "key",
            "-----BEGIN PRIVATE KEY-----\nMAAwAA==\n-----END PRIVATE KEY-----\n",
            ["The RA certificate(s) in {path} is not valid PEM"],
        ),
        (
            "damaged",
            "-----BEGIN CERTIFICATE-----\nMAA*\n-----END CERTIFICATE-----\n",
            ["The RA certificate(s) in {path} is not valid PEM"],
        ),
    ],
)
def test_a_file_without_a_certificate_is_refused_before_the_daemon_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, lines: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert run("getcert", ["add-scep-ca", "-c", "x", "-u", "http://h/", "-r", str(path)], {}) == 1
    assert capsys.readouterr().out.splitlines() == [line.format(path=path) for line in lines]


def test_a_relative_certificate_file_reaches_the_daemon_as_an_absolute_one(tmp_path: Path) -> None:
    from cli.rig import ORIGINAL, installed

    write_certificates(tmp_path)
    with running(ORIGINAL) as rig:
        added = rig.run(
            [installed("getcert"), "add-scep-ca", "-s", "-c", "x", "-u", "https://h/", "-R", "root-ca.pem"],
            cwd=tmp_path,
        )
        listed = rig.run([installed("getcert"), "list-cas", "-s", "-c", "x"])
    assert added.returncode == 0, added.stdout
    assert f" -R {tmp_path}/root-ca.pem\n" in listed.stdout
