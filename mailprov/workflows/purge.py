"""Mail of closed accounts, found on a host and deleted there."""

from __future__ import annotations

from collections.abc import Sequence

from mailprov import assets
from mailprov.connection import Host
from mailprov.engine import orphaned_mail, probe
from mailprov.engine.orphaned_mail import Leftover
from mailprov.errors import Exit, HostError, locked
from mailprov.model import HostSpec, Query
from mailprov.standard import REGISTRY
from mailprov.workflows.run_plan import transaction_name, who
from mailprov.workflows.survey import ask


def orphaned(declared: HostSpec, host: Host, addresses: Sequence[str]) -> tuple[Leftover, ...]:
    """Mail on a host whose account is closed, of `addresses` or (none) all. Raises MailprovError for one without."""
    script = probe.script(REGISTRY, [Query("leftovers", "leftovers")])
    found = orphaned_mail.read(ask(host, script).sections["leftovers"])
    return tuple(orphaned_mail.chosen(found, addresses, declared.name))


def delete(declared: HostSpec, host: Host, wanted: Sequence[Leftover], count: int) -> None:
    """Delete that mail, where `count` says how many mailboxes it is. Raises ConsentError, LockedError or HostError."""
    orphaned_mail.agree(wanted, count, declared.name)
    words = (transaction_name(), who(f"purged {len(wanted)}"), *(one.address for one in wanted))
    parts = ("engine/history.sh", "resources/accounts/store.sh", "resources/accounts/query.sh", "workflows/purge.sh")
    work = "".join(map(assets.script, parts))
    completed = host.run(("sh", "-c", work, "mailprov", *words), timeout=600)
    said = completed.stderr.decode("utf-8", "replace").strip()[:400]
    if completed.status == int(Exit.LOCKED):
        raise locked(declared.name, said)
    if completed.status != 0:
        gone = len(completed.stdout.splitlines())
        raise HostError(f"only {gone} of {len(wanted)} mailboxes could be deleted", where=declared.name, why=said)
