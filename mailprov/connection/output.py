"""What a command says, bounded and made harmless: a hostile host may send anything, in any amount."""

from __future__ import annotations

import re
from collections.abc import Callable

from mailprov.errors import HostError
from mailprov.model import Completed

STDOUT_LIMIT = 64 * 1024 * 1024
STDERR_LIMIT = 1024 * 1024
LINE_LIMIT = 64 * 1024

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)


def printable(text: str, limit: int = LINE_LIMIT) -> str:
    """`text` on one line, without escape sequences, control or direction characters, cut at `limit` characters."""
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in _ESCAPE.sub("", text))
    return text if len(text) <= limit else text[:limit] + "…"


def excerpt(data: bytes, limit: int = 300) -> str:
    """The last lines of `data` as one printable sentence, for an error message."""
    lines = (printable(line).strip() for line in data[-4 * limit :].decode(errors="replace").splitlines())
    text = "; ".join(line for line in lines if line)
    return text if len(text) <= limit else "…" + text[-limit:]


class Output:
    """The output of one command as it arrives.

    With a `mark`, everything on stdout up to the line that ends with it is dropped: it was said before the command
    began (a login shell's greeting, sudo).

    Every `feed` raises HostError when the command says more than mailprov is willing to hold.
    """

    def __init__(self, where: str, on_line: Callable[[str], None] | None = None, mark: bytes = b"") -> None:
        self._where = where
        self._on_line = on_line
        self._mark = mark + b"\n" if mark else b""
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._line_start = 0
        self._searched = 0
        self.begun = not mark

    @property
    def stderr(self) -> bytes:
        """What came on stderr so far."""
        return bytes(self._stderr)

    def feed_stdout(self, data: bytes) -> None:
        """Take what came on stdout."""
        self._bound(len(self._stdout) + len(data), STDOUT_LIMIT if self.begun else STDERR_LIMIT, "stdout")
        self._stdout += data
        if not self.begun:
            _, found, rest = bytes(self._stdout).partition(self._mark)
            if not found:
                return
            self.begun = True
            self._stdout[:] = rest
        if self._on_line is not None:
            self._lines(self._on_line)

    def feed_stderr(self, data: bytes) -> None:
        """Take what came on stderr."""
        self._bound(len(self._stderr) + len(data), STDERR_LIMIT, "stderr")
        self._stderr += data

    def completed(self, status: int, stderr: bytes) -> Completed:
        """The outcome, with `stderr` as it may be shown, after the last line was reported even where no newline ended
        it."""
        if self.begun and self._on_line is not None and self._line_start < len(self._stdout):
            self._report(self._on_line, len(self._stdout))
        return Completed(status, bytes(self._stdout) if self.begun else b"", stderr)

    def _lines(self, on_line: Callable[[str], None]) -> None:
        # Searching only what is new keeps a line of 64 MiB from being searched 2,000 times.
        while (end := self._stdout.find(b"\n", max(self._line_start, self._searched))) >= 0:
            self._report(on_line, end)
        self._searched = len(self._stdout)

    def _report(self, on_line: Callable[[str], None], end: int) -> None:
        start, self._line_start = self._line_start, end + 1
        line = bytes(self._stdout[start : min(end, start + 4 * LINE_LIMIT)])
        on_line(printable(line.decode(errors="replace").rstrip("\r")))

    def _bound(self, size: int, limit: int, stream: str) -> None:
        if size > limit:
            raise HostError(
                f"a command wrote more than {limit // (1024 * 1024)} MiB to {stream}",
                where=self._where,
                why="the answer of a host is bounded, so that a broken or hostile one cannot exhaust this machine",
                fix="look at what the host prints on login, and whether it is the host that it should be",
            )
