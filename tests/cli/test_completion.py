"""Completion, asked of real shells: bash and fish by their completion interfaces, zsh and bash as somebody types."""

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cli.rig import installed
from daemon_under_test import DaemonUnderTest

from getcert.main import COMMANDS, PINNED_CAS, Command
from getcert.options import OPTIONS, Kind

LIMIT_S = 60.0
EDITING = {name for name, command in COMMANDS.items() if command.edits_cas}
VISIBLE = {name: command for name, command in COMMANDS.items() if name not in EDITING}


class Shells:
    """The shells with the scripts, and a daemon that they ask for names."""

    def __init__(self, daemon: DaemonUnderTest, folder: Path) -> None:
        self.folder = folder
        self.environment = daemon.environment() | {
            "CERTMONGER_PVT_ADDRESS": f"unix:path={daemon.socket}",
            "PATH": f"{os.path.dirname(installed('getcert'))}:/usr/bin:/bin",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        for shell in ("bash", "zsh", "fish"):
            done = daemon.getcert("completion", shell)
            assert done.returncode == 0, done.stderr
            (folder / shell).write_text(done.stdout)

    def _run(self, *argv: str) -> list[str]:
        program = shutil.which(argv[0])
        assert program is not None, f"{argv[0]} is not installed"
        done = subprocess.run(
            [program, *argv[1:]],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    def bash(self, *words: str) -> list[str]:
        """What bash proposes for the last of *words*."""
        program = (
            'source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _getcert; '
            '[ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return self._run("bash", "-c", program, "bash", *words)

    def fish(self, *words: str) -> list[str]:
        """What fish proposes for the last of *words*, without the explanations."""
        lines = self._run("fish", "--no-config", "-c", f"source ./fish; complete -C '{' '.join(words)}'")
        return [line.split("\t")[0] for line in lines]

    def typed(self, start: Sequence[str], *steps: tuple[str, str]) -> str:
        """What an interactive shell shows; each step is what is typed, and what has to come before the next."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["setsid", "--ctty", *start],
            env=self.environment,
            cwd=self.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = ""
        deadline = time.monotonic() + LIMIT_S
        try:
            for keys, expected in ((f"{self.source(start[0])}; echo re''ady\n", "ready"), *steps):
                os.write(ours, keys.encode())
                fresh = ""
                while expected not in fresh:
                    readable, _, _ = select.select([ours], [], [], max(0, deadline - time.monotonic()))
                    assert readable, f"{expected!r} did not come: {shown + fresh!r}"
                    fresh += os.read(ours, 4096).decode(errors="replace")
                shown += fresh
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return shown

    @staticmethod
    def source(shell: str) -> str:
        return "autoload -Uz compinit; compinit -u; source ./zsh" if shell == "zsh" else f"source ./{shell}"


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shells]:
    daemon = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    daemon.start()
    for name in ("web-server", "mail", "two words"):
        daemon.request(name, ca="SelfSign")
    folder = tmp_path_factory.mktemp("shells")
    (folder / "a file.pem").touch()
    (folder / "folder").mkdir()
    yield Shells(daemon, folder)
    daemon.close()


def shown_options(command: Command) -> list[str]:
    names = [name for _, group in command.load().GROUPS for name in group]
    return [f"--{OPTIONS[name].long}" for name in names]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_every_command_and_each_of_its_options_is_proposed(shells: Shells, shell: str) -> None:
    ask = getattr(shells, shell)
    assert set(ask("getcert", "")) == set(COMMANDS)
    for name, command in COMMANDS.items():
        assert set(shown_options(command)) <= set(ask("getcert", name, "--")), name


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize("program", PINNED_CAS)
def test_an_alias_proposes_no_editing_of_cas_and_no_choice_of_one(shells: Shells, shell: str, program: str) -> None:
    ask = getattr(shells, shell)
    assert set(ask(program, "")) == set(VISIBLE)
    options = ask(program, "list", "--")
    assert "--ca" not in options
    assert "--id" in options


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_names_come_from_the_daemon(shells: Shells, shell: str) -> None:
    ask = getattr(shells, shell)
    assert ask("getcert", "list", "-i", "we") == ["web-server"]
    assert ask("getcert", "resubmit", "--id", "ma") == ["mail"]
    assert set(ask("getcert", "request", "-c", "")) == {"SelfSign", "IPA", "dogtag-ipa-renew-agent", "local"}
    assert set(ask("getcert", "remove-ca", "-c", "I")) == {"IPA"}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_words_files_and_directories_are_proposed(shells: Shells, shell: str) -> None:
    ask = getattr(shells, shell)
    assert set(ask("getcert", "list", "--output", "")) == {"json", "yaml"}
    assert ask("getcert", "request", "-u", "keyE") == ["keyEncipherment"]
    assert ask("getcert", "completion", "z") == ["zsh"]
    assert [found.rstrip("/") for found in ask("getcert", "request", "-d", "fol")] == ["folder"]
    assert any("file.pem" in found for found in ask("getcert", "request", "-f", "a"))
    assert ask("getcert", "request", "-N", "") == []


def test_bash_completes_after_an_equals_sign_and_quotes_names(shells: Shells) -> None:
    assert shells.bash("getcert", "list", "--output", "=", "j") == ["json"]
    assert shells.bash("getcert", "list", "--output", "=") == ["json", "yaml"]
    assert shells.bash("getcert", "list", "-i", "two") == ["two\\ words"]


def test_every_letter_means_the_same_in_bash_as_in_the_command(shells: Shells) -> None:
    # -i chooses a request in most commands, and a CA of a server in add-scep-ca.
    assert shells.bash("getcert", "add-scep-ca", "-i", "") == []
    assert shells.bash("getcert", "list", "-r", "--ou") == ["--output"]


@pytest.mark.parametrize(
    "start", [("bash", "--norc", "-i"), ("zsh", "-f", "-i"), ("fish", "--no-config", "-i")], ids=lambda start: start[0]
)
def test_a_person_completes_command_option_and_name(shells: Shells, start: Sequence[str]) -> None:
    shells.typed(start, ("getcert star\t", "tracking"), ("--keyf\t", "ile"), ("x -i web\t", "-server"))


def test_zsh_proposes_every_option_with_its_explanation(shells: Shells) -> None:
    for name in ("request", "list", "add-scep-ca"):
        shown = shells.typed(("zsh", "-f", "-i"), (f"getcert {name} --\t", "--verbose"))
        for option in shown_options(COMMANDS[name]):
            assert option in shown


def test_names_are_not_worth_starting_a_daemon(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    done = subprocess.run(
        [installed("getcert"), "completion", "requests", "-v"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "starting" not in done.stderr
    assert "Error connecting to D-Bus." in done.stdout


def test_an_unknown_shell_is_told_those_there_are(shells: Shells) -> None:
    done = subprocess.run([installed("getcert"), "completion", "tcsh"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("Name a shell: bash, zsh, fish.\n")
    assert "Usage: getcert completion [options] bash|zsh|fish" in done.stdout


def test_every_option_that_chooses_a_request_or_a_ca_asks_the_daemon() -> None:
    from getcert.completion.model import Source, commands

    for command in commands():
        for option in command.options:
            if option.option.kind is Kind.FLAG:
                assert option.source is None
            elif option.name in ("id", "ca"):
                assert option.source in (Source.REQUESTS, Source.CAS)
