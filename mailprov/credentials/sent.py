"""What was sent to whom (pure): a line of CSV for each message that a server took, no secret in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from mailprov.encode import csv_cell, csv_text

What = Literal["passwords", "profiles", "welcome"]
COLUMNS: Final = ("what", "address", "to", "version", "when")


class Record(NamedTuple):
    """`what` was sent for the mailbox `address` to the address `to`, at the time `when` (ISO 8601, UTC).

    `version` tells contents apart: of another version the person has nothing yet.
    """

    what: str
    address: str
    to: str
    version: str
    when: str

    @property
    def item(self) -> tuple[str, str, str, str]:
        """What was sent, without the time."""
        return self[:4]


def line(record: Iterable[str]) -> str:
    """One line."""
    text = io.StringIO()
    csv.writer(text).writerow(map(csv_cell, record))
    return text.getvalue()


HEADER: Final = line(COLUMNS)


def parse(text: str) -> tuple[Record, ...]:
    """What `line` wrote; what else a power cut left is left out, so that it is sent again."""
    rows = ([csv_text(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline="")))
    found = (Record(*row) for row in rows if len(row) == len(COLUMNS))
    return tuple(record for record in found if record != COLUMNS and record.when)
