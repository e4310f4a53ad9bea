"""The demonstration works, and leaves nothing behind when it does not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[3]


@contextmanager
def demo(temporary: Path, first_in_path: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    """The demo, with its folder below *temporary*."""
    temporary.mkdir(exist_ok=True)
    path = f"{first_in_path}:{os.environ['PATH']}" if first_in_path else os.environ["PATH"]
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "scripts" / "demo.py")],
        env={"PATH": path, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process


def processes_that_mention(folder: Path) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(folder).encode() in word for word in words):
            found.append(b" ".join(words).decode())
    return found


def test_the_demo_gets_a_certificate_from_each_of_two_cas_and_cleans_up(tmp_path: Path) -> None:
    with demo(tmp_path / "tmp") as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "web.crt: OK" in output
    assert "scep.crt: OK" in output
    assert output.count("status: MONITORING") == 2
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_that_mention(tmp_path / "tmp") == []


def test_a_demo_that_fails_says_so_and_cleans_up(tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "scepserver"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no server today\nexit 7\n")
    broken.chmod(0o755)
    with demo(tmp_path / "tmp", broken.parent) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "no server today" in output
    assert "The demo failed: " in output
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_that_mention(tmp_path / "tmp") == []


def test_an_interrupted_demo_cleans_up(tmp_path: Path) -> None:
    with demo(tmp_path / "tmp") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("$ getcert list-cas"):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_that_mention(tmp_path / "tmp") == []
