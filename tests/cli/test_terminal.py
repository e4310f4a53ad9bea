"""Waiting as a person sees it."""

import os
import pty
import subprocess

from cli.rig import ORIGINAL, Rig, installed, running


def shown_on_a_terminal(rig: Rig, *arguments: str) -> tuple[int, str]:
    """Exit status and everything written to the terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [installed("getcert"), *arguments],
            env=dict(rig.environment),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        output = bytearray()
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux reports that the other side has closed the terminal
                break
            if not piece:
                break
            output += piece
        return process.wait(30), output.decode()
    finally:
        os.close(ours)


def test_a_person_is_told_why_a_request_is_stuck_and_what_to_do() -> None:
    with running(ORIGINAL) as rig:
        files = ("-f", f"{rig.directory}/a.crt", "-k", f"{rig.directory}/a.key")
        status, text = shown_on_a_terminal(rig, "request", "-s", "-I", "web", *files, "-w")
    assert status == 4
    assert "GENERATING_KEY_PAIR" in text
    assert text.endswith("Choose a CA: getcert resubmit -i web -c NAME (getcert list-cas shows the names)\r\n")


def test_a_person_sees_the_states_until_the_certificate_is_there() -> None:
    with running(ORIGINAL) as rig:
        files = ("-f", f"{rig.directory}/a.crt", "-k", f"{rig.directory}/a.key")
        status, text = shown_on_a_terminal(rig, "request", "-s", "-c", "SelfSign", "-N", "CN=x", *files, "-w")
    assert status == 0
    assert text.rstrip().split("\x1b[K")[-1].split()[0] == "MONITORING"
