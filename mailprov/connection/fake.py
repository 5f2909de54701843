"""A host that is none: scripted answers, for everything that should be tried without a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailprov.connection.output import Output
from mailprov.model import Completed


@dataclass(frozen=True, slots=True)
class Call:
    """One command that was given to a fake host."""

    argv: tuple[str, ...]
    stdin: bytes
    timeout: float


Answer = bytes | Completed | Exception
"""stdout of a command that ends well; or a whole outcome; or what is raised"""


class FakeHost:
    """Answers each `run` with the next of `answers`, or with what `answers` returns for it when it is a function.

    `calls` holds what was run, in order; `closed` says whether the session was ended.
    """

    def __init__(self, name: str, *answers: Answer | Callable[[Call], Answer]) -> None:
        """`answers` are taken in order; the last one, if it is a function, answers everything that follows."""
        self._name = name
        self._answers = list(answers)
        self.calls: list[Call] = []
        self.closed = False

    @property
    def name(self) -> str:
        """The host's name in the declaration."""
        return self._name

    @property
    def identity(self) -> str:
        """Nothing: no key was shown."""
        return ""

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Note the call and give the scripted answer, its lines made harmless as those of a real host are.

        Raises what the script says, and LookupError where it has come to its end.
        """
        call = Call(argv, stdin, timeout)
        self.calls.append(call)
        if not self._answers:
            raise LookupError(f"the fake host {self._name} has no answer left for {argv}")
        answer = self._answers[0]
        if len(self._answers) > 1 or not callable(answer):
            del self._answers[0]
        outcome = answer(call) if callable(answer) else answer
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, bytes):
            outcome = Completed(0, outcome, b"")
        output = Output(self._name, on_line)
        output.feed_stdout(outcome.stdout)
        output.feed_stderr(outcome.stderr)
        return output.completed(outcome.status, output.stderr)

    def close(self) -> None:
        """Note that the session was ended."""
        self.closed = True
