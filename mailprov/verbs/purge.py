"""mailprov purge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mailprov import leftovers, onhost, probe
from mailprov.errors import Exit, HostError, LockedError
from mailprov.host import Host
from mailprov.model import HostSpec, Question
from mailprov.report import printable
from mailprov.report.text import Line
from mailprov.survey import ask
from mailprov.verbs import console
from mailprov.verbs.session import each
from mailprov.verbs.transact import transaction_name, who


def purge(file: Path, limit: Sequence[str], addresses: Sequence[str], count: int | None) -> Exit:
    """Show mail whose account is closed; delete it when `count` says how many mailboxes that are."""
    return each(file, limit, lambda _, declared, host: _purge(declared, host, addresses, count))


def _purge(declared: HostSpec, host: Host, addresses: Sequence[str], count: int | None) -> None:
    script = probe.script([Question("leftovers", "leftovers")])
    found = leftovers.read(ask(host, script).sections["leftovers"])
    wanted = leftovers.chosen(found, addresses, declared.name)
    lines = [Line(f"{declared.name}  mail whose account is closed", "head")]
    lines += [Line(f"  {printable(one.address)}  {one.messages:,} messages, {one.bytes:,} bytes") for one in wanted]
    console.show(lines if wanted else [Line(f"{declared.name}  no mail is left of closed accounts", "good")])
    if not wanted:
        return
    leftovers.agree(wanted, count, declared.name)
    words = (transaction_name(), who(f"purged {len(wanted)}"), *(one.address for one in wanted))
    work = onhost.text("history.sh") + onhost.text("purge.sh")
    completed = host.run(("sh", "-c", work, "mailprov", *words), timeout=600)
    said = completed.stderr.decode("utf-8", "replace").strip()[:400]
    if completed.status == int(Exit.LOCKED):
        raise LockedError("another apply is at work on this host", where=declared.name, why=said)
    if completed.status != 0:
        gone = len(completed.stdout.splitlines())
        raise HostError(f"only {gone} of {len(wanted)} mailboxes could be deleted", where=declared.name, why=said)
    console.show([Line(f"  deleted {len(wanted)} mailbox{'es' if len(wanted) != 1 else ''}", "warn")])
