"""One host looked at for a password reset: the plan for new passwords, and for nothing else that is declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mailprov import standard
from mailprov.connection import Host
from mailprov.credentials.passwords import sha512_crypt
from mailprov.engine import manifest, probe
from mailprov.engine.manifest import Manifest
from mailprov.engine.plan import Difference, Observation, plan, prints, queries, supplied
from mailprov.errors import HostError
from mailprov.model import HostSpec, Query, Reason, Secret, Spec
from mailprov.model.listeners import listening
from mailprov.resources import accounts
from mailprov.resources.accounts import Accounts
from mailprov.resources.accounts.row import networks, owns_password
from mailprov.roles import dovecot
from mailprov.workflows.survey import PlanResult, ask, unsettled, with_risks

_MANAGED = Query("managed", "cat", ("/var/lib/mailprov/managed",))
"""what mailprov manages there is the same after a reset, whatever is declared by then"""


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """The plan for one host; `record` is what the last apply left there, and stays. On `ports` mail programs are served
    now; `anywhere` are those of the accounts that may log in from everywhere."""

    found: PlanResult
    record: Manifest
    ports: frozenset[int]
    anywhere: frozenset[str]

    def supplied(self, passwords: Mapping[str, Secret]) -> PlanResult:
        """The plan with the passwords that are set."""
        desired = {
            key: replace(item, initial=lambda name: sha512_crypt(passwords[name]))
            for key, item in self.found.plan.desired.items()
            if isinstance(item, Accounts)
        }
        return replace(self.found, plan=supplied(self.found.plan, desired))


def reset_plan(spec: Spec, declared: HostSpec, host: Host, names: Sequence[str], *, end_sessions: bool) -> ResetPlan:
    """Look at the host, read-only, and plan for new passwords of these accounts.

    Raises HostError where the host does not have them as accounts with passwords of their users' own, and as survey
    does.
    """
    registry, bare = standard.REGISTRY, accounts.bare(dovecot.ACCOUNTS)
    questions = queries(registry, {bare.key: bare})
    answer = ask(host, probe.script(registry, (*questions, _MANAGED)))
    record, live = manifest.parse(answer.sections.get("manifest", "")), registry.live(answer.sections)
    seen = Observation(probe.facts(registry, answer.sections), live, record, answer.digest)
    table = live.get(bare.key)
    if record is None or not isinstance(table, Accounts) or table.type != "file":
        why = "mailprov has not applied anything there yet, or what it left is damaged"
        raise HostError("no password can be reset on this host", why=why, fix="look at `mailprov plan`")
    expected = accounts.accounts(bare.path, dovecot.rows(spec.users_of(declared.name), seen.facts), _unknown)
    table = _with_rows(table, expected, host)
    _require(table, names)
    after = accounts.reset(table, names, _unknown, end_sessions=end_sessions)
    differing = [Difference(bare.key, table, after, Reason.PENDING)]
    planned = plan(registry, declared.name, seen, {bare.key: after}, differing, {}, unsettled(answer.sections))
    open_now = {port for _, port in listening(answer.sections["listeners"], registry.units)}
    planned = with_risks(planned, host, open_now, live, answer.sections)
    planned = replace(planned, managed=tuple(answer.sections.get("managed", "").splitlines()))
    rows = table.rows.reveal() if table.rows else {}
    anywhere = frozenset(name for name in names if networks(rows[name]) == ())
    found = PlanResult(planned, probe.stable_script(registry, questions), prints(live))
    return ResetPlan(found, record, frozenset(open_now), anywhere)


def _unknown(name: str) -> Secret:
    raise HostError(f"{name} has no new password yet")


def _with_rows(table: Accounts, expected: Accounts, host: Host) -> Accounts:
    query = accounts.detail_query(table, expected)
    asked = [Query("rows", query.function, query.words)] if query else []
    return accounts.with_details(table, expected, ask(host, probe.script(standard.REGISTRY, asked)).sections["rows"])


def _require(table: Accounts, names: Sequence[str]) -> None:
    """Raises HostError where not each of `names` is an account there whose user owns its password."""
    rows = table.rows.reveal() if table.rows else {}
    if accounts.delta(table, table).broken:
        what = f"{table.path} holds lines that are no accounts; nothing was touched"
        raise HostError(what, fix="see `mailprov plan`: an apply removes them")
    missing = [name for name in names if name not in rows]
    if missing:
        what = f"the host has no account {', '.join(missing[:5])}; nothing was touched"
        raise HostError(what, fix="run `mailprov apply` first: it makes the accounts, with passwords")
    managed = [name for name in names if not owns_password(rows[name])]
    if managed:
        what = f"the host holds the declaration's password for {', '.join(managed[:5])}; nothing was touched"
        fix = "run `mailprov apply` first: by the declaration of today the password is the user's"
        raise HostError(what, fix=fix)
