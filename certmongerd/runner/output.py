"""Reading what a child process prints, within bounds."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Final

from certmongerd.core.mask import Mask

_log = logging.getLogger(__name__)

_CHUNK: Final = 64 * 1024
_STDERR_TAIL_LINES: Final = 20
_MAX_LINE_BYTES: Final = 2000
_MAX_LOGGED_LINES: Final = 2000


class Capture:
    """The reading ends of a child's standard output and standard error.

    The writing ends are `stdout_fd` and `stderr_fd`; `close_writers` is called once the child has them.
    Reading starts at once and goes on until `close`.
    """

    def __init__(self, program: str, *, max_output_bytes: int, mask: Mask, on_change: Callable[[], None]) -> None:
        """*mask* hides words on standard error; *on_change* is called when one of the two flags below became true."""
        self._program = program
        self._loop = asyncio.get_running_loop()
        self._remaining = max_output_bytes
        self._chunks: list[bytes] = []
        self._log_lines = LineLog(program, mask)
        self._on_change = on_change
        self.has_ended = False
        """Whether standard output reached its end."""
        self.has_overflowed = False
        """Whether the child printed more than allowed; nothing is read any more."""
        stdout, self.stdout_fd = os.pipe2(os.O_CLOEXEC)
        stderr, self.stderr_fd = os.pipe2(os.O_CLOEXEC)
        self._stdout, self._stderr = stdout, stderr
        for reader in (stdout, stderr):
            os.set_blocking(reader, False)
        self._loop.add_reader(stdout, self._read_stdout)
        self._loop.add_reader(stderr, self._read_stderr)
        self._open = {stdout, stderr}
        self._writers = {self.stdout_fd, self.stderr_fd}

    @property
    def stdout(self) -> bytes:
        """What was printed so far, at most the allowed number of bytes."""
        return b"".join(self._chunks)

    @property
    def stderr_tail(self) -> str:
        """The last lines of standard error."""
        return self._log_lines.tail

    def close_writers(self) -> None:
        """Close this process's writing ends."""
        while self._writers:
            os.close(self._writers.pop())

    def close(self) -> None:
        """Read what is there and stop."""
        self.close_writers()
        self._drain()
        for reader in tuple(self._open):
            self._end(reader)
        self._log_lines.flush()

    def _drain(self) -> None:
        """Read without waiting; bounded, because a background process may go on printing."""
        for _ in range(64):
            if self._stderr not in self._open or not self._read_stderr():
                break
        for _ in range(1 + self._remaining // _CHUNK):
            if self._stdout not in self._open or not self._read_stdout():
                break

    def _read_stdout(self) -> bool:
        """Take one chunk of standard output; False when there was none."""
        data = self._read(self._stdout)
        if data is None:
            return False
        if not data:
            self.has_ended = True
            self._end(self._stdout)
            return False
        self._chunks.append(data[: self._remaining])
        if len(data) > self._remaining:
            self.has_overflowed = True
            self._end(self._stdout)
        self._remaining -= len(self._chunks[-1])
        return True

    def _read_stderr(self) -> bool:
        """Take one chunk of standard error; False when there was none."""
        data = self._read(self._stderr)
        if data is None:
            return False
        if not data:
            self._end(self._stderr)
            return False
        self._log_lines.feed(data)
        return True

    @staticmethod
    def _read(reader: int) -> bytes | None:
        """One chunk, empty at the end, None when nothing is there."""
        try:
            return os.read(reader, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return None

    def _end(self, reader: int) -> None:
        """Stop reading one of the two."""
        self._open.discard(reader)
        self._loop.remove_reader(reader)
        os.close(reader)
        self._on_change()


class LineLog:
    """Logs bytes line by line and keeps the last lines."""

    def __init__(self, program: str, mask: Mask) -> None:
        self._program = program
        self._mask = mask
        self._partial = b""
        self._tail: deque[str] = deque(maxlen=_STDERR_TAIL_LINES)
        self._logged = 0

    @property
    def tail(self) -> str:
        """The last lines, joined."""
        return "\n".join(self._tail)

    def feed(self, data: bytes) -> None:
        """Take more bytes; complete lines are logged, over-long ones in pieces."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line)
        while len(self._partial) > _MAX_LINE_BYTES:
            self._line(self._partial[:_MAX_LINE_BYTES])
            self._partial = self._partial[_MAX_LINE_BYTES:]

    def flush(self) -> None:
        """Log a last line that has no end."""
        if self._partial:
            self._line(self._partial)
            self._partial = b""

    def _line(self, line: bytes) -> None:
        """Log one line; control characters cannot forge other log lines."""
        decoded = line[:_MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
        text = "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in decoded)
        text = self._mask.hide(text)
        self._tail.append(text)
        self._logged += 1
        if self._logged <= _MAX_LOGGED_LINES:
            _log.info("%s: %s", self._program, text)
        elif self._logged == _MAX_LOGGED_LINES + 1:
            _log.warning("%s: further lines on standard error are not logged", self._program)
