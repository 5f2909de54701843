"""What a host says of mail that waits, whatever stands in it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mailprov.model.mail_queue import MailQueue, mail_queue


def row(reason: object) -> str:
    return f"reason {json.dumps(reason)}"


def test_reasons_are_counted() -> None:
    text = "\n".join([row("busy"), row("down"), row("down"), "total 7000 1700000000"])
    assert mail_queue(text) == MailQueue(7000, 1700000000, (("down", 2), ("busy", 1)))
    assert mail_queue("total 0 0\n") == mail_queue("") == MailQueue()


def test_what_is_not_understood_is_left_out() -> None:
    for text in ("reason", "reason {", "reason " + "[" * 10_000, row(5), row(None), row(["x"]), row("")):
        assert mail_queue(f"{text}\ntotal x 1\ntotal 1 2 3\ntotal 1 99999999999\n") == MailQueue()
    assert len(mail_queue(row("x" * 10_000)).reasons[0][0]) == 300
    assert len(mail_queue("\n".join(row(str(n)) for n in range(1000))).reasons) == 100


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert mail_queue(text).count >= 0
