"""A plan that is kept in a file, and one that was: the disk's side of engine.plan_file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mailprov import local_files
from mailprov.engine import plan_file, saved_plan
from mailprov.engine.saved_plan import Claim
from mailprov.errors import FileError, KeptPlanError, MailprovError, StalePlanError
from mailprov.model import Spec, some
from mailprov.workflows.selection import chosen_names


def require_writable(out: Path) -> None:
    """Raises MailprovError where a plan cannot be kept in `out`: better before all hosts are looked at than after."""
    local_files.require_replaceable(out)
    if out.exists():
        with local_files.opened(out, 1 << 60) as file:
            start = file.read(1000)
        if start and plan_file.FORMAT.partition(" ")[0].encode() not in start:
            what = "this file is no kept plan, and a plan would replace it"
            raise MailprovError(what, where=str(out), fix="name another file")


def save(out: Path, partial: bool, claims: Sequence[Claim]) -> None:
    """Write the plan for a later `mailprov apply PLAN`, readable by its owner only: it names accounts.

    Raises MailprovError where it is larger than `load` would read.
    """
    text = plan_file.dump(partial, claims)
    if not plan_file.bearable(text.encode()):
        what = "the plan is too large to be kept"
        raise MailprovError(what, where=str(out), fix="keep it in parts, with --shard or --limit")
    local_files.replace(out, text.encode())


def load(file: Path) -> saved_plan.SavedPlan:
    """The plan in `file`, which is opened once. Raises KeptPlanError where there is none."""
    try:
        data = local_files.contents(file, plan_file.LIMIT)
    except FileError as error:
        raise KeptPlanError(error.what, fix=error.fix) from None
    return plan_file.load(data, str(file))


def claims(plan: saved_plan.SavedPlan, kept: str, spec: Spec, limit: Sequence[str]) -> Mapping[str, Claim]:
    """What a kept plan claims of its own hosts, and of no other. Raises StalePlanError where they are others now."""
    wanted = chosen_names(spec, limit)
    found = {each.host: each for each in plan.hosts}
    if wanted - found.keys():
        held = some([saved_plan.plain(name) for name in sorted(found)], 8) or "no host"
        raise MailprovError("the plan is not for all of these hosts", where=kept, why=f"it is for {held}")
    gone, new = found.keys() - spec.hosts.keys(), spec.hosts.keys() - found.keys()
    if gone or plan.partial != bool(new):
        why = f"declared since: {some(sorted(new))}" if new else "it says that it left hosts out"
        if gone:
            why = f"not declared any more: {some([saved_plan.plain(name) for name in sorted(gone)])}"
        what = "the declaration changed since the plan was made; nothing was touched"
        raise StalePlanError(what, where=kept, why=why, fix="plan again")
    return {name: each for name, each in found.items() if not limit or name in wanted}
