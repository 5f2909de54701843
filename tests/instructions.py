"""How much work something is, whatever else the machine does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


def instructions(work: Callable[[], object]) -> int:
    """How many instructions of Python `work` runs: a loop that stands in one line counts, too."""
    run = 0

    def count(frame: FrameType, event: str, arg: object) -> Callable[..., object]:
        nonlocal run
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        run += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return run
