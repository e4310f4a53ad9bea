"""The checks of tests/conftest.py, on tests that leave something behind."""

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

LEAKING = {
    "a child process": """
        import subprocess
        KEPT = []
        def test_it():
            KEPT.append(subprocess.Popen(["sleep", "60"]))
    """,
    "an open file": """
        KEPT = []
        def test_it(tmp_path):
            KEPT.append(open(tmp_path / "file", "w"))
    """,
    "a socket": """
        import socket
        KEPT = []
        def test_it():
            KEPT.append(socket.socket())
    """,
    "a task": """
        import asyncio
        KEPT = []
        async def test_it():
            KEPT.append(asyncio.create_task(asyncio.sleep(60)))
    """,
}

TIDY = """
    import asyncio, subprocess
    import pytest
    @pytest.fixture
    async def ticking():
        task = asyncio.create_task(asyncio.sleep(60))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async def test_a_fixture_ends_its_task(ticking):
        await asyncio.sleep(0)
    async def test_a_process_is_waited_for():
        process = await asyncio.create_subprocess_exec("true", stdout=subprocess.PIPE)
        await process.communicate()
    def test_files_are_closed(tmp_path):
        (tmp_path / "file").write_text("x")
"""


def _run(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider")


@pytest.mark.parametrize("what", LEAKING)
def test_a_test_that_leaves_something_fails(pytester: pytest.Pytester, what: str) -> None:
    result = _run(pytester, LEAKING[what])
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the test left*"])


def test_a_tidy_test_passes(pytester: pytest.Pytester) -> None:
    _run(pytester, TIDY).assert_outcomes(passed=3)
