"""Texts that would steer a terminal, or become markup, and plans and checks that are full of them."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

from mailprov.checks import Check, Endpoint
from mailprov.model import Action, Change, Effect, Facts, Key, Plan, Reason, Risk, Words

FACTS = Facts("0" * 32, "12", 0, (22,), "2.3.19.1", 0)

HOSTILE = [
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe\u2066",
    "a\rb\nc\x00d\x7f\x85\u2028e",
    "| a | b |",
    "`code` ``` ```` ~~~",
    "</details><script>alert(1)</script><!--",
    "![x](https://tracker.example/x.png) [x](javascript:alert(1))",
    "**bold** _it_ ~~no~~ # head &lt; &#60; $x$ \\",
    "@everyone @org/team x-@all _@root",
    "group/project#12 #13 !14 $15 ~bug %16 &17",
    "see https://evil.example/ or www.evil.example",
    "/merge\n/close",
    "````diff",
    " padded ",
    "\U0001f600" * 40,
    "\U000e0041\u200b\ufeff\ud800",
]


def plan_of(changes: tuple[Change, ...], warnings: tuple[str, ...] = (), risks: tuple[Risk, ...] = ()) -> Plan:
    effects = {"dovecot": Effect.RELOAD, "postfix": Effect.RESTART, "systemd": Effect.RELOAD} if changes else {}
    return Plan("mail1", FACTS, {}, changes, effects, warnings, "0" * 64, risks)


HOSTILE_TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))


def steers(written: str) -> list[str]:
    """Characters that a terminal would obey or that would hide or turn round others."""
    return [c for c in written if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and c not in "\n\t"]


def hostile_plan(said: str) -> Plan:
    kinds = ("file", "accounts", "map", "certificate", said)
    changes = tuple(
        Change(Key(kind, said), action, Reason.DRIFT, None, None, Words(said, (f"+{said}", said)))
        for kind in kinds
        for action in Action
    )
    return plan_of(changes, (said,), (Risk("removals", said),))


def hostile_check(said: str) -> Check:
    return Check(Endpoint("imap", "tls", "192.0.2.1", 993, "mail.example.com"), "tls", False, 0.1, said)
