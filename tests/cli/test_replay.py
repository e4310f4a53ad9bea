"""The recorded transcripts, replayed with this client against a running daemon."""

import difflib
import hashlib
import re
import shlex
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cli.rig import ORIGINAL, OWN, REALM, Daemon, Rig, installed, running
from cli.transcripts import Transcript, fill, fold_helper_lines, output_pattern, scenarios
from daemon_under_test import wait_until

DAEMONS = (ORIGINAL, OWN)
SCENARIOS = scenarios()
AS_NOBODY = (sys.executable, str(Path(__file__).parent / "as_another_user.py"), "nobody")
ONLY = {"nss": "certmonger", "temporary": "certmongerd"}
"""Scenarios for one daemon: one has no NSS databases, the other is not the one that the client starts itself."""
WITHOUT_DAEMON = {"bus", "temporary"}
CLOSED_BUS = {"access"}
RECORDED_ROOT = {
    "md5": "6B27EDE3 043EFA83 F27EF0BA FCC199DC",
    "sha1": "6504B440 CC1083A2 74FB3844 3F59DB96 E3C3BBB9",
}
CORRECTED = {
    37: (('No CA with name "nosuch" found.',), 1),
    39: (('No CA with name "nosuch" found.',), 1),
    83: (("No request found with specified nickname.",), 1),
    123: (("No request found with specified nickname.",), 1),
    124: (
        (
            'Path "a.crt" is not absolute, attempting to use "<DIR>/a.crt" instead.',
            "No request found that matched arguments.",
        ),
        1,
    ),
}
"""Standard output and status where the recorded program is wrong."""
SAME_AS = {
    72: "getcert list -s -c local",
    74: "getcert list -s -i full",
    108: "getcert list -s -i no-token",
}
"""Wrong too: a name in another case is found and then shows nothing, and a token's name is not looked at."""

NEWER_STATUS = {33: 2, 61: 2, 62: 2, 63: 2}
"""certmonger 0.79.20 tells duplicates by the exit status."""

REASON_AFTER = "\tstatus: NEED_GUIDANCE\n"
"""certmongerd tells as ca-error why it needs guidance, where certmonger is silent when the CA gave no reason."""
ADDED_LINES = re.compile(
    r"\t(?:(?:key|certificate) (?:owner|permissions)|.* thumbprint \(SHA256\)|next attempt"
    r"|SCEP RA certificate thumbprint \(.*\)|SCEP capabilities): .*\n"
)
"""What getcert shows beyond the recorded program."""
IDENTITY = "(certmongerd "
"""certmongerd's helpers name their own program in a CA's identification."""

MORE_KEY_TYPES = " Ed25519 ML-DSA-44 ML-DSA-65 ML-DSA-87"


def as_certmonger_would(text: str) -> str:
    """Output without what certmongerd tells on purpose beyond certmonger: a reason, its own name, kinds of keys."""
    without_reasons = re.sub(rf"({re.escape(REASON_AFTER)})\tca-error: .*\n", r"\1", text)
    return without_reasons.replace(IDENTITY, "(certmonger ").replace(MORE_KEY_TYPES, "")


@dataclass(frozen=True)
class Player:
    rig: Rig
    daemon: Daemon

    def known(self) -> dict[str, str]:
        return {
            "DIR": str(self.rig.directory),
            "STATE": str(self.rig.state),
            "HOST": socket.gethostname(),
            "REALM": REALM,
        }

    def argv(self, command: str) -> list[str]:
        program, *rest = shlex.split(fill(command, self.known()))
        return [installed(program) if program.endswith("getcert") else program, *rest]

    def prepare(self, line: str) -> None:
        """One `before` line: a pause, a request's state that is waited for, a shell's redirection, or a command."""
        words = shlex.split(fill(line, self.known()))
        if words[0] == "sleep":
            time.sleep(float(words[1]))
        elif words[0] == "await":
            _, nickname, state = words
            status = self.argv(f"getcert status -s -v -i {nickname}")
            wait_until(lambda: f"State {state}," in self.rig.run(status).stdout)
        elif words[0] == "echo":
            *_, target = words
            with open(target, "w") as file:
                file.write(words[1] + "\n")
        else:
            finished = self.rig.run(self.argv(line), cwd=self.rig.directory)
            assert finished.returncode in range(6), (line, finished.stdout, finished.stderr)

    def play(self, transcript: Transcript) -> str:
        """Run one transcript; what is different, or nothing."""
        for line in transcript.before:
            self.prepare(line)
        if transcript.number in SAME_AS:
            same = self.rig.run(self.argv(SAME_AS[transcript.number]))
            transcript = replace(transcript, stdout=tuple(self.comparable(same.stdout).splitlines()), exit=0)
        elif transcript.is_defect:
            corrected, status = CORRECTED[transcript.number]
            transcript = replace(transcript, stdout=corrected, exit=status, stderr=())
        transcript = replace(transcript, exit=NEWER_STATUS.get(transcript.number, transcript.exit))
        name, _, value = fill(transcript.env, self.known()).partition("=")
        argv = self.argv(transcript.command)
        finished = self.rig.run(
            [*AS_NOBODY, *argv] if transcript.user == "unprivileged" else argv,
            cwd=self.rig.directory if transcript.cwd else None,
            env={name: value} if name else {},
        )
        stdout = self.comparable(finished.stdout)
        matches = output_pattern(transcript.stdout, self.known()).fullmatch(stdout)
        if transcript.records_stderr:
            matches = matches and output_pattern(transcript.stderr, self.known()).fullmatch(finished.stderr)
        if matches and finished.returncode == transcript.exit:
            return ""
        head = f"{transcript.number:03} {transcript.title}: {transcript.command}"
        recorded = [f"exit {transcript.exit}", *transcript.stdout, *transcript.stderr]
        shown = [f"exit {finished.returncode}", *stdout.splitlines(), *finished.stderr.splitlines()]
        return "\n".join((head, *difflib.unified_diff(recorded, self.masked(shown), "recorded", "shown", lineterm="")))

    def masked(self, lines: list[str]) -> list[str]:
        """Output with this run's own values as placeholders, for a readable difference."""
        text = "\n".join(lines)
        for name, value in self.known().items():
            text = text.replace(value, f"<{name}>")
        return text.splitlines()

    def comparable(self, stdout: str) -> str:
        text = self.with_recorded_root(ADDED_LINES.sub("", fold_helper_lines(stdout)))
        return as_certmonger_would(text) if self.daemon is OWN else text

    def with_recorded_root(self, text: str) -> str:
        """*text* with the thumbprints of this run's root certificate replaced by those of the recording."""
        der = ssl.PEM_cert_to_DER_cert((self.rig.directory / "root-ca.pem").read_text())
        for algorithm, recorded in RECORDED_ROOT.items():
            digest = hashlib.new(algorithm, der, usedforsecurity=False).digest().hex(" ", 4).upper()
            text = text.replace(digest, recorded)
        return text


def cases() -> Iterator[tuple[Daemon, str]]:
    for daemon in DAEMONS:
        for scenario in SCENARIOS:
            if ONLY.get(scenario, daemon.name) == daemon.name:
                yield daemon, scenario


@pytest.mark.parametrize(
    ("daemon", "scenario"), [pytest.param(*case, id=f"{case[0].name}-{case[1]}") for case in cases()]
)
def test_a_recorded_scenario_gives_the_recorded_output_streams_and_statuses(daemon: Daemon, scenario: str) -> None:
    present = None if scenario in WITHOUT_DAEMON else daemon
    with running(present, everybody_may_call=scenario not in CLOSED_BUS) as rig:
        player = Player(rig, daemon)
        differences = [player.play(transcript) for transcript in SCENARIOS[scenario]]
    assert not "".join(differences), "\n".join(filter(None, differences))
