"""`mailprov ARGUMENTS` in a process of its own, with what a test changes in it ($MAILPROV_TEST, JSON).

The host's journal gets a place where a test can stop it: production code knows nothing of that.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from mailprov import commands as cli
from mailprov.engine import transaction
from mailprov.roles import firewall
from mailprov.workflows import rollback, run_plan

_STOP = r"""
journal() {
    journal_kept "$@" || return
    [ ! -e /run/fault/event ] || stop_at "$*"
}

stop_at() { # EVENT: where a test wants to act, wait until it has
    case $1 in await*) set -- await ;; esac # its seconds do not matter
    # shellcheck disable=SC2254 # a pattern
    case $1 in $(cat /run/fault/event)) ;; *) return 0 ;; esac
    mv /run/fault/event /run/fault/was
    echo "$$ ${T##*/}" >/run/fault/at.new
    mv /run/fault/at.new /run/fault/at
    until [ -e /run/fault/go ]; do sleep 0.02; done
    rm -f /run/fault/at /run/fault/go
    [ ! -e /run/fault/then ] || . /run/fault/then
}

"""

Set = Callable[[object, str, object], None]


def stopping(script: str, canary: bool) -> str:
    """The host's script, whose journal waits at the event that a test has named; without a rehearsal, if wanted."""
    head, found, tail = script.partition("\njournal() {")
    assert found, "the host's script has no journal()"
    definition, found, rest = tail.partition("\n}\n")
    assert found
    made = f"{head}\njournal_kept() {{{definition}\n}}\n{_STOP}{rest}"
    assert "\nrehearse() {" in made
    return made if canary else made.replace("\nrehearse() {", "\nrehearse() { :; }\n\nunused() {")


def patch(options: dict[str, Any], set_: Set = setattr) -> None:
    """Change this process as a test asks."""
    script, work, ruleset = transaction.script, transaction.Work, firewall.ruleset
    set_(transaction, "script", lambda registry: stopping(script(registry), options.get("canary", True)))
    for module in (run_plan, rollback):
        set_(module, "Work", functools.partial(work, confirm_seconds=options.get("confirm", 60)))
    set_(transaction, "APT_PATIENCE_SECONDS", options.get("apt", 60))
    if options.get("cut_ssh"):
        set_(firewall, "ruleset", lambda *words: ruleset(*words).replace("tcp dport 22 accept", "tcp dport 22 drop"))
    if options.get("refuse"):
        set_(run_plan.Confirmation, "give", _refuse)
    if options.get("silent"):
        set_(run_plan.Confirmation, "give", lambda *_: time.sleep(600))


def _refuse(confirmation: run_plan.Confirmation, _leaf: str) -> None:
    with run_plan.session(confirmation.declared) as fresh:
        run_plan.answer(fresh, confirmation.transaction, "a test refuses")


if __name__ == "__main__":
    patch(json.loads(os.environ["MAILPROV_TEST"]))
    cli.main(sys.argv[1:])
