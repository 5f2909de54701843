"""`mailprov ARGUMENTS` in a process of its own, with what a test changes in it ($MAILPROV_TEST, JSON).

The host's journal gets a place where a test can stop it: production code knows nothing of that.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import Any

from mailprov import cli, transaction
from mailprov.roles import firewall
from mailprov.verbs import apply, past

STOP = r"""
journal() {
    journal_kept "$@" || return
    [ ! -e /run/fault/event ] || stop_at "$*"
}

stop_at() { # EVENT: where a test wants to act, wait until it has
    [ "$1" = "$(cat /run/fault/event)" ] || return 0
    mv /run/fault/event /run/fault/was
    echo "$$ ${T##*/}" >/run/fault/at.new
    mv /run/fault/at.new /run/fault/at
    until [ -e /run/fault/go ]; do sleep 0.02; done
    [ ! -e /run/fault/then ] || . /run/fault/then
}

"""


def stopping(script: str) -> str:
    """The host's script, whose journal waits at the event that a test has named."""
    head, found, tail = script.partition("\njournal() {")
    assert found, "the host's script has no journal()"
    definition, found, rest = tail.partition("\n}\n")
    assert found
    return f"{head}\njournal_kept() {{{definition}\n}}\n{STOP}{rest}"


def patch(options: dict[str, Any]) -> None:
    """Change this process as a test asks."""
    original = transaction.script
    transaction.script = lambda: stopping(original())
    for module in (apply, past):
        module.Work = functools.partial(transaction.Work, confirm_seconds=options.get("confirm", 30))  # type: ignore[attr-defined]
    transaction.APT_PATIENCE_SECONDS = options.get("apt", 3)
    if options.get("cut_ssh"):
        ruleset = firewall.ruleset
        firewall.ruleset = lambda host, facts: ruleset(host, facts).replace("tcp dport 22 accept", "tcp dport 22 drop")
    if options.get("refuse"):
        apply.outside.listeners = _refuse  # type: ignore[assignment]
        apply.outside.glance = _refuse  # type: ignore[assignment]


def _refuse(declared: Any, fresh: Any, *_more: Any) -> tuple[Any, ...]:
    apply.answer(fresh, next(iter(_transactions)), "a test refuses")
    return ()


_transactions: list[str] = []


def _remember(make: Any) -> Any:
    @functools.wraps(make)
    def named() -> str:
        _transactions.append(make())
        return _transactions[-1]

    return named


if __name__ == "__main__":
    apply.transaction_name = _remember(apply.transaction_name)
    patch(json.loads(os.environ["MAILPROV_TEST"]))
    cli.main(sys.argv[1:])
