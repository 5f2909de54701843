"""Mail that a host has taken and could not pass on yet: what `mail_queue` of its daemon's shell says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST = 300
"""characters of a reason"""
_DIGITS = re.compile("[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class MailQueue:
    """How many messages wait, since when the oldest one does (seconds since the epoch, 0: unknown), and why those that
    were looked at do, the most frequent reason first, each with how often it was met."""

    count: int = 0
    oldest: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def mail_queue(text: str) -> MailQueue:
    """The answer, read. A host may say anything: what is not understood is left out."""
    count = oldest = 0
    found: Counter[str] = Counter()
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["total"] and all(map(_DIGITS.fullmatch, words[1:])) and len(words) == 3:
            count, oldest = int(words[1]), int(words[2])
        elif line.startswith("{"):
            found.update(_reasons(line))
    return MailQueue(count, oldest, tuple(found.most_common(5)))


def _reasons(line: str) -> Iterator[str]:
    """Why each recipient of a message waits (postqueue(1), -j), without what differs from try to try."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return
    recipients = told.get("recipients") if isinstance(told, Mapping) else None
    for each in recipients if isinstance(recipients, list) else ():
        reason = _reason(each)
        if reason:
            yield reason


def _reason(recipient: Any) -> str:
    said = recipient.get("delay_reason") if isinstance(recipient, Mapping) else None
    return said[:_LONGEST] if isinstance(said, str) else ""
