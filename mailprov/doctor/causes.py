"""What a Cause of trouble with mail is: how it is known, what ends it, and what to tell whom it hits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["dns", "route", "tcp", "firewall", "tls", "greeting", "capability", "login", "mailbox", "sending"]
"""the parts of the way from a name to an open mailbox, as a client passes them; then mail that leaves"""


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why mail does not work for somebody.

    `name` is stable, and may be matched on in JSON. `known` says how it is known, `needs_host` whether a client alone
    cannot know it. `fix` is for the operator, `user` (English) and `user_zh` (Simplified Chinese) for whoever called.
    A `notice` is worth knowing, but keeps nobody from their mail.
    """

    name: str
    phase: Phase
    title: str
    known: str
    fix: str
    user: str
    user_zh: str
    needs_host: bool = False
    notice: bool = False


WAIT = "Your settings are right. We are repairing the mail server; please try again later."
WAIT_ZH = "您的设置没有问题，邮件服务器正在修复，请稍后再试。"
