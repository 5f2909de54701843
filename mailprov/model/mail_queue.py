"""Mail that a host has taken and could not pass on yet: what `mail_queue` of its daemon's shell says."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

_LONGEST = 300
"""characters of a reason"""
_MOST = 100
"""different reasons"""
_DIGITS = re.compile("[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class MailQueue:
    """How many messages wait, since when the oldest one does (seconds since the epoch, 0: unknown), and why those that
    were looked at do, the most frequent reason first, each with how many recipients wait for it."""

    count: int = 0
    oldest: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def mail_queue(text: str) -> MailQueue:
    """The answer, read. A host may say anything: what is not understood is left out."""
    count = oldest = 0
    found: Counter[str] = Counter()
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        numbers = rest.split()
        if word == "total" and all(map(_DIGITS.fullmatch, numbers)) and len(numbers) == 2:
            count, oldest = map(int, numbers)
        elif word == "reason" and (reason := _reason(rest)):
            found[reason] += 1
    return MailQueue(count, oldest, tuple(found.most_common(_MOST)))


def _reason(text: str) -> str:
    """A text as JSON has it; "" for what is none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return said[:_LONGEST] if isinstance(said, str) else ""
