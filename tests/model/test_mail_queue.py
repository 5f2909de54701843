"""What a host says of mail that waits, whatever stands in it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mailprov.model.mail_queue import MailQueue, mail_queue


def row(*reasons: object) -> str:
    recipients = [{"address": "x@example.net", "delay_reason": reason} for reason in reasons]
    return json.dumps({"queue_name": "deferred", "arrival_time": 5, "recipients": recipients})


def test_reasons_are_counted() -> None:
    text = "\n".join([row("busy", "down"), row("down"), "total 7000 1700000000"])
    assert mail_queue(text) == MailQueue(7000, 1700000000, (("down", 2), ("busy", 1)))
    assert mail_queue("total 0 0\n") == mail_queue("") == MailQueue()


def test_what_is_not_understood_is_left_out() -> None:
    for text in ("{", "[" * 10_000, "{}", row(5, None), '{"recipients": {"a": 1}}', '{"recipients": [1, []]}'):
        assert mail_queue(f"{text}\ntotal x 1\ntotal 1 2 3\ntotal 1 99999999999\n") == MailQueue()
    assert len(mail_queue(row("x" * 10_000)).reasons[0][0]) == 300
    assert len(mail_queue(row(*map(str, range(100)))).reasons) == 5


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert mail_queue(text).count >= 0
