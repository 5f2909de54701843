"""New passwords for accounts whose users own theirs: an act and no state, carried out by hosts as an apply is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailprov import standard
from mailprov.checks import Account, Trust, check_login
from mailprov.credentials import entries
from mailprov.credentials.entries import Entry
from mailprov.credentials.folder import Folder
from mailprov.credentials.passwords import generated
from mailprov.engine import manifest
from mailprov.engine.manifest import Manifest
from mailprov.engine.plan import made, steps
from mailprov.engine.rollout import HostStatus, Result
from mailprov.engine.transaction import Work
from mailprov.errors import MailprovError
from mailprov.model import HostSpec, Secret, Spec, User, domain_of, some
from mailprov.observer import Ended, Failed, Observer, PasswordsKept, Planned
from mailprov.resources import accounts
from mailprov.workflows import client_view
from mailprov.workflows.apply import agree_to
from mailprov.workflows.at_work import AtWork
from mailprov.workflows.attempt import Attempt
from mailprov.workflows.generated_passwords import folder
from mailprov.workflows.hand_over import apply as carry_out
from mailprov.workflows.reset_plan import ResetPlan, reset_plan
from mailprov.workflows.rollback import kept_certificate
from mailprov.workflows.run_plan import LOGINS, answer_anew, progress, transaction_name, who
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import load, meant
from mailprov.workflows.session import session
from mailprov.workflows.survey import PlanResult

_TOOK = {HostStatus.APPLIED: True, HostStatus.REVERTED: False, HostStatus.FAILED: False, HostStatus.WAITING: False}


@dataclass(frozen=True, slots=True)
class Order:
    """Whose passwords are reset, and how; `asked` is the new password of the one address, None: they are generated."""

    file: Path
    addresses: tuple[str, ...]
    asked: Secret | None = None
    end_sessions: bool = False
    consents: frozenset[str] = frozenset()
    handout: Path | None = None


def reset(order: Order, observer: Observer) -> list[Result]:
    """What became of each host that has one of the accounts, in name order.

    Raises SpecError, MailprovError where a password is not to be reset or a host cannot be planned for, ConsentError,
    and InterruptionError.
    """
    spec = load(order.file, SESSION, observer)
    users = {user.address: user for user in _users(spec, order.addresses)}
    hosts = {name: spec.domains[domain_of(name)].hosts for name in users}
    chosen = [declared for name, declared in sorted(spec.hosts.items()) if any(name in each for each in hosts.values())]
    at_work, results = AtWork(), list[Result]()
    with at_work.interruptible():
        found = {
            it.name: _look(spec, it, [user for user in users if it.name in hosts[user]], order, observer)
            for it in chosen
        }
        plans = [each.found.plan for each in found.values()]
        observer.tell(Planned(plans))
        question = f"Set {len(users)} new password{'' if len(users) == 1 else 's'} on {some(sorted(found), 3)}?"
        agree_to(plans, order.consents, question, observer, "reset")
    kept = _Kept(folder(order.file, order.handout), observer, spec, users, hosts)
    passwords = kept.supply(order.asked)
    for declared in chosen:
        if results and results[-1].error:
            results.append(Result(declared.name, HostStatus.WAITING))
            continue
        results.append(_change(found[declared.name], declared, users, passwords, observer, at_work))
    kept.settle(results)
    return results


def _users(spec: Spec, addresses: Sequence[str]) -> list[User]:
    """The users of these addresses. Raises MailprovError, with all that is wrong, where one's password is not to be
    reset here."""
    declared = {user.address: user for user in spec.users}
    wrong: list[MailprovError] = []
    for address in dict.fromkeys(addresses):
        user, domain = declared.get(address), spec.domains.get(domain_of(address))
        if user is None:
            wrong.append(MailprovError(f"{address} is not declared", fix=meant(address, list(declared)[:5000])))
        elif domain is not None and domain.hosted_by:
            fix = f"reset it there: `mailprov providers {domain.hosted_by}`"
            wrong.append(MailprovError(f"the password of {address} is kept by its provider", fix=fix))
        elif user.password.ownership == "managed":
            where = str(user.origin or "")
            fix = "put another hash there (`mailprov password` makes one), then run `mailprov apply`"
            wrong.append(MailprovError(f"the password of {address} is declared as a hash", where=where, fix=fix))
    if len(wrong) > 1:
        what = f"{len(wrong)} of {len(addresses)} passwords cannot be reset; nothing was touched"
        told = [f"{error.where}: {error.what}" if error.where else error.what for error in wrong]
        raise MailprovError(what, why=some(told, 10), fix=some(list(dict.fromkeys(error.fix for error in wrong)), 3))
    if wrong:
        raise wrong[0]
    return [declared[address] for address in dict.fromkeys(addresses)]


def _look(spec: Spec, declared: HostSpec, names: Sequence[str], order: Order, observer: Observer) -> ResetPlan:
    try:
        with observer.during(f"looking at {declared.name}"), session(declared) as host:
            return reset_plan(spec, declared, host, names, end_sessions=order.end_sessions)
    except MailprovError as error:
        error.at(declared.name)
        raise


# --- the passwords, on disk before any host is touched


@dataclass(slots=True)
class _Kept:
    where: Folder
    observer: Observer
    spec: Spec
    users: Mapping[str, User]
    hosts: Mapping[str, Sequence[str]]
    before: Mapping[str, Entry] | None = None

    def supply(self, asked: Secret | None) -> Mapping[str, Secret]:
        """A new password for each, which is kept when this returns. Raises MailprovError where it cannot be."""
        now, days = datetime.now(UTC), self.spec.handout.days

        def changed(before: tuple[Entry, ...]) -> tuple[Entry, ...]:
            self.before = {entry.address: entry for entry in before}
            make = (lambda: asked) if asked is not None else generated
            return entries.with_resets(before, self.hosts, self.users, make=make, now=now, days=days)

        found = self.where.change(changed)
        return {entry.address: entry.password for entry in found if entry.address in self.users}

    def settle(self, results: Sequence[Result]) -> None:
        """What was kept before is kept again where no host took the new one; and say what is to do."""
        took = {result.host: _TOOK[result.status] for result in results if result.status in _TOOK}
        before, hosts = self.before or {}, self.hosts
        try:
            found = self.where.change(lambda now: entries.reset_settled(now, before, hosts, took))
        except MailprovError as error:
            self.observer.tell(Failed(error))  # what the hosts became matters more
            return
        mine = [entry for entry in found if entry.address in self.users]
        if not all(took.get(result.host) is False for result in results):
            unsure = sum(bool(entry.pending) for entry in mine)
            self.observer.tell(PasswordsKept(len(mine), unsure, str(self.where)))


# --- one host


def _change(
    planned: ResetPlan,
    declared: HostSpec,
    users: Mapping[str, User],
    passwords: Mapping[str, Secret],
    observer: Observer,
    at_work: AtWork,
) -> Result:
    attempt = Attempt(declared.name, at_work, 1)
    with attempt, at_work.interruptible(), session(declared) as host:
        found = planned.supplied(passwords)
        work = _work(found, planned.record)
        attempt.handed = True
        trial = _Trial(planned, declared, users, passwords)
        follow = at_work.follow(work, progress(work, observer))

        def confirm(leaf: str) -> None:
            answer_anew(work.transaction, declared, lambda: trial.complaint(leaf), observer)

        carry_out(found.seen, work, host, on_event=follow, confirm=confirm)
    observer.tell(Ended(attempt.result, plan=planned.found.plan))
    return attempt.result


def _work(found: PlanResult, record: Manifest) -> Work:
    """What the host needs: what its record says was meant stays as it is."""
    registry, name = standard.REGISTRY, transaction_name()
    count = sum(len(delta.changed) for delta in accounts.deltas(found.plan.changes))
    return Work(
        registry,
        found.plan,
        steps(registry, found.plan),
        found.ask,
        name,
        who(f"reset {count} password{'' if count == 1 else 's'}"),
        manifest.head(name, record.desired, made(registry, record)),
        certificate=kept_certificate(record.desired),
        canary=False,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    """Logs in with new passwords, where these may log in from here, before the host is told that all is well."""

    planned: ResetPlan
    declared: HostSpec
    users: Mapping[str, User]
    passwords: Mapping[str, Secret]

    def complaint(self, leaf: str) -> str:
        """Whose new password is refused by every listener; "" where none is."""
        # What is declared by now may not be applied yet: the host is taken as it is.
        trusted = Trust(frozenset({leaf} if leaf else ()))
        here = [each for each in client_view.open_here(self.declared) if each.port in self.planned.ports]
        for name in sorted(self.planned.anywhere)[:LOGINS]:
            account = Account(name, self.passwords[name], self.users[name].protocols)
            by_protocol = {each.protocol: each for each in here if account.may(each.protocol)}
            failed = ""
            for endpoint in by_protocol.values():
                wrong = [check for check in check_login(endpoint, trusted, account) if check.failed]
                failed = f"{wrong[0].endpoint}: {name}: {wrong[0].detail}" if wrong else ""
                if not wrong:
                    break
            if failed:
                return failed
        return ""
