"""One host looked at, and what differs from its declaration. The pure middle is plan.py; what is here asks the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from heapq import nsmallest

from mailprov import standard
from mailprov.connection import Host
from mailprov.credentials.passwords import initial_hash
from mailprov.engine import manifest, probe
from mailprov.engine.history import transactions
from mailprov.engine.plan import Observation, detail_queries, differences, obstacles, plan, prints, queries
from mailprov.engine.risks import queries as risk_queries
from mailprov.engine.risks import risks, with_reloads
from mailprov.engine.transaction import event
from mailprov.engine.transaction_state import Station, place, words
from mailprov.errors import HostError, LockedError
from mailprov.model import GENERATED, Facts, HostSpec, Key, Plan, Query, Spec, State, domain_of, some
from mailprov.model.listeners import open_ports
from mailprov.render import prepare as prepare_templates
from mailprov.render import unrendered
from mailprov.resources import accounts, certificates, firewall, mail_tree, mailboxes, packages
from mailprov.resources.accounts import Accounts
from mailprov.resources.certificates import Certificate, clock, problems
from mailprov.resources.system_users import SystemUser
from mailprov.roles import mailhost, postfix
from mailprov.roles.narrowing import narrowing
from mailprov.roles.rspamd.stages import memory
from mailprov.roles.tls import paths

# Before a host has answered, only the names of what is asked about matter; nothing that depends on these is kept.
_ANY = Facts("", "12", 0, (22,), "2.3", 0)

SOON_DAYS = 21
"""a certificate with fewer days left earns a warning"""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan, the script by which its host asks itself again, and the fingerprint of everything that was seen.

    `holder`: whose apply was at work there at that moment; "" where none was.
    """

    plan: Plan
    ask: bytes
    seen: Mapping[Key, str]
    holder: str = ""


def survey(spec: Spec, declared: HostSpec, host: Host) -> PlanResult:
    """Look at the host, read-only, and plan. One exec when nothing differs, two or three when something does.

    Raises HostError when the host is not one that mailprov can manage, and ConnectError when it is lost.
    """
    registry, asked = standard.REGISTRY, questions(spec, declared)
    sections, seen = observe(asked, host)
    seen, found = with_published(spec, declared, seen)
    wanted = mailhost.desired(spec, declared, seen.facts, initial_hash)
    taken = mailhost.taken_over(wanted, seen.live, seen.manifest.desired if seen.manifest else ())
    desired = mailhost.with_queue(wanted, seen.live, taken)
    refuse_unusable(declared, seen)
    refuse_closed_mail(spec, declared, seen, desired, sections)
    differing = differences(registry, desired, seen)
    in_the_way = obstacles(registry, differing, seen.live)
    # What an apply that was cut off has left there is settled before anything is done.
    if in_the_way and not unsettled(sections):
        what = f"something is in the way: {'; '.join(words for _, words in in_the_way)}"
        raise HostError(what, where=declared.name, fix=_clearing({kind for kind, _ in in_the_way}))
    details = (*detail_queries(registry, differing), *(takeover.query for takeover in taken.values()))
    more = ask_closer(details, host)
    warnings = _warnings(spec, declared, seen, sections)
    made = plan(registry, declared.name, seen, desired, differing, more, warnings)
    made = replace(
        made,
        risks=tuple(mailhost.ends(spec, declared, desired, taken, more)),
        waits=mailhost.waits(spec, declared, seen.facts, found),
    )
    made = replace(made, warnings=(*made.warnings, *_of_new(spec, declared, made)))
    made = replace(
        with_risks(made, host, {port for _, _, port in declared.services.ports()}, seen.live, sections),
        certificate_until=_until(declared, seen),
    )
    if made.empty:
        refuse_unsettled(declared.name, sections)
    script, holder = probe.stable_script(registry, asked), transactions(sections).holder
    return PlanResult(_with_expiry(declared, made), script, prints(seen.live), holder)


def observe(asked: Sequence[Query], host: Host) -> tuple[Mapping[str, str], Observation]:
    """What the host answers to these queries, by section, and what it is by that. Raises as `survey`."""
    registry = standard.REGISTRY
    answer = ask(host, probe.script(registry, asked))
    live, kept = registry.live(answer.sections), manifest.parse(answer.sections.get("manifest", ""))
    facts = replace(probe.facts(registry, answer.sections), reported=registry.reported(answer.sections))
    return answer.sections, Observation(facts, live, kept, answer.digest)


def with_published(spec: Spec, declared: HostSpec, seen: Observation) -> tuple[Observation, Mapping[str, str]]:
    """What was seen, and which of the records that something there waits for DNS has by now; by name, what is wrong
    with the others. Nobody is asked where nothing waits."""
    pairs = mailhost.awaited(spec, declared, seen.facts)
    if not pairs:
        return seen, {}
    from mailprov.workflows.published import published

    found = published(pairs, spec.resolver)
    there = frozenset(record for pair in pairs for record in pair.records if not found[record[0]])
    return replace(seen, facts=replace(seen.facts, published=there)), found


def ask_closer(details: Sequence[Query], host: Host) -> Mapping[str, str]:
    """What the host answers, asked how things differ, by section. Raises HostError where that is not all of it."""
    more = ask(host, probe.script(standard.REGISTRY, details)).sections if details else {}
    if any(query.section not in more for query in details):  # else what it holds would pass for new
        raise HostError("the host's answer is garbled", where=host.name, why="it does not tell how things differ")
    return more


def _clearing(kinds: Set[str]) -> str:
    """What to do about things of these kinds that are in the way."""
    fixes = []
    if kinds - {mailboxes.KIND}:
        fixes.append("mailprov replaces plain files only: move it away, then plan again")
    if mailboxes.KIND in kinds:
        fixes.append("no two mailboxes become one, and no link is moved: move one away, or drop the previous address")
    return "; ".join(fixes)


def _of_new(spec: Spec, declared: HostSpec, made: Plan) -> Iterator[str]:
    """What there is to know about what an apply creates: accounts, and a daemon that wants memory."""
    if any(change.key == Key(packages.KIND, "rspamd") and change.before is None for change in made.changes):
        yield f"rspamd comes in: it takes {memory(made.facts)}"
    added = {name for delta in accounts.deltas(made.changes) for name in delta.added}
    moving = {change.key.name for change in made.changes if change.key.kind == mailboxes.KIND}
    users = [user for user in spec.users_of(declared.name) if user.address in added] if added else []
    new = [it for it in users if it.was and mailboxes.Rename(it.was, it.address).key.name not in moving]
    if new:
        names = some([f"{user.was} ({user.address})" for user in new], 5)
        yield f"nobody is known here by the previous address {names}: a new mailbox is made"
    lacking = (it for it in users if it.password.lacking is not None and it.password.ownership == "initial")
    if first := nsmallest(5, (user.address for user in lacking)):
        yield f"initial passwords are not here for {', '.join(first)}: creating these accounts will need them"


def with_risks(made: Plan, host: Host, ports: Set[int], live: State, sections: Mapping[str, str]) -> Plan:
    """The plan with what in it wants a consent; `ports` are those that shall be open. May ask the host once more."""
    asked = risk_queries(standard.REGISTRY, made, live)
    more = ask(host, probe.script(standard.REGISTRY, asked)).sections if asked else {}
    return replace(
        made,
        risks=(
            *made.risks,
            *risks(standard.REGISTRY, ports, made, live, {**sections, **more}),
            *narrowing(made.changes),
        ),
        opens=_opens(made, ports, live, {**sections, **more}),
    )


def _opens(made: Plan, ports: Set[int], live: State, sections: Mapping[str, str]) -> tuple[str, ...]:
    """What can be reached once this is applied, and cannot be now: listeners, and what the firewall lets in; with whom
    it lets in, where that is not everyone."""
    if made.empty:
        return ()
    registry = standard.REGISTRY
    told = open_ports(sections.get("listeners", ""))
    served = {port.port for port in told if port.protocol == "tcp" and port.public and port.of(registry.units)}
    tables = [change for change in with_reloads(registry, made, live) if change.key.kind == firewall.KIND]
    let_in = {port for change in tables for port in firewall.opened(change, sections)}
    text = next((item.text for item in made.desired.values() if isinstance(item, firewall.Table)), "")
    found = {f"tcp/{port}" for port in ports - served} | let_in
    pairs = sorted((protocol, int(port or 0)) for protocol, _, port in (name.partition("/") for name in found))
    return tuple(_opened(protocol, port, text) for protocol, port in pairs)


def _opened(protocol: str, port: int, text: str) -> str:
    if not port:
        return protocol
    whom = firewall.for_whom(text, (protocol, port))
    return f"{protocol}/{port} from {whom}" if whom else f"{protocol}/{port}"


def _until(declared: HostSpec, seen: Observation) -> int | None:
    """When the certificate ends that is declared, or that the host keeps."""
    path = str(paths(declared).certificate)
    item = seen.live.get(Key(certificates.KIND, path))
    if declared.tls.source == "file" or not isinstance(item, Certificate) or item.not_after is None:
        return declared.tls.until
    return int(item.not_after.timestamp())


def _with_expiry(declared: HostSpec, made: Plan) -> Plan:
    """Warns of a certificate that ends soon and that this apply does not renew; of a file's its reader has warned."""
    days = made.certificate_days
    if declared.tls.source != "on_host" or days is None or days >= SOON_DAYS:
        return made
    what = f"the certificate has {days} day{'' if days == 1 else 's'} left: see that it is renewed on the host"
    return replace(made, warnings=(*made.warnings, what))


def refuse_unsettled(host: str, sections: Mapping[str, str]) -> None:
    """Where an apply has not come to its end, what it has changed may go again: to have it is not to be as wanted.

    Raises LockedError.
    """
    past = transactions(sections)
    where = place(found for line in past.events if (found := event(line)))
    if past.open and where.station not in (Station.CONFIRMED, Station.UNRECORDED, Station.ENDED):
        raise LockedError(
            "nothing differs, but an apply there has not come to its end: what it changed may be put back",
            where=host,
            why=f"{past.holder}: {words(where)}" if past.holder else f"it was cut off {words(where, trying=False)}",
            fix="wait for it to end (`mailprov status`), then run this again",
        )


def prepare(chosen: Sequence[HostSpec]) -> None:
    """Make ready what an answer will need: work for the time in which no host has answered yet."""
    prepare_templates()
    if any(declared.tls.source != "file" for declared in chosen):
        certificates.prepare()


def script(spec: Spec, declared: HostSpec) -> bytes:
    """The script that asks a host for everything that is declared of it."""
    return probe.script(standard.REGISTRY, questions(spec, declared))


def questions(spec: Spec, declared: HostSpec) -> Sequence[Query]:
    """All that a host is asked about what is declared of it."""
    # Of users only those are asked about by name whose mailbox may have another address yet.
    renamed = tuple(replace(user, password=GENERATED) for user in spec.users if user.was)
    names = mailhost.desired(replace(spec, users=renamed, aliases=()), declared, _ANY, initial_hash, unrendered)
    return (*queries(standard.REGISTRY, names), *postfix.queries(declared))


def ask(host: Host, script: bytes) -> probe.Reply:
    """What the host answers to a probe's script. Raises HostError when that is no answer."""
    completed = host.run(("sh", "-s"), stdin=script)
    if completed.status != 0 and not completed.stdout:
        why = completed.stderr.decode("utf-8", "replace").strip()[:400]
        why = why or f"it says nothing, and ends with {completed.status}"
        fix = "look at what the login shell does before a command (.bashrc, /etc/profile.d), then run this again"
        raise HostError("the host could not be read", where=host.name, why=why, fix=fix)
    return probe.parse(completed.stdout, standard.REGISTRY.stable)


def refuse_unusable(declared: HostSpec, seen: Observation) -> None:
    """A certificate that something else keeps on the host must be usable before anything refers to it."""
    tls = declared.tls
    if tls.source != "on_host":
        return
    item = seen.live.get(Certificate(tls.certificate_path, tls.key_path, "on_host").key)
    certificate = item if isinstance(item, Certificate) else None
    wrong = problems(certificate, declared.hostname, clock(seen.facts.clock))
    if wrong:
        fix = "renew or replace it on the host, or declare another source under `tls`"
        raise HostError(f"{tls.certificate_path} cannot be used: {'; '.join(wrong)}", where=declared.name, fix=fix)


def refuse_closed_mail(
    spec: Spec, declared: HostSpec, seen: Observation, desired: State, sections: Mapping[str, str]
) -> None:
    """Mail of the declared accounts is entered by the user that owns all mail, or nothing is changed."""
    domains = {domain.name for domain in spec.domains_of(declared.name)}
    tables = [item.rows for item in desired.values() if isinstance(item, Accounts) and item.rows]

    def served(domain: str, name: str) -> bool:
        return domain in domains and (not name or any(f"{name}@{domain}" in table.reveal() for table in tables))

    for wanted in desired.values():
        if isinstance(wanted, SystemUser):
            live = seen.live.get(wanted.key)
            owner = mail_tree.Owner(wanted.name, wanted.home, live.uid if isinstance(live, SystemUser) else None)
            mail_tree.refuse(sections.get(mail_tree.SECTION, ""), declared.name, owner, served)


def _expiring(spec: Spec, host: str) -> list[str]:
    """What there is to know about accounts of `host` that lose old messages."""
    served = {domain.name for domain in spec.domains_of(host)}
    expiring = ((user.address, user.expire) for user in spec.users if user.expire is not None)
    counts = Counter(days for address, days in expiring if domain_of(address) in served)
    return [
        f"messages are deleted from the INBOX after {days} day{'s' if days > 1 else ''}, fetched or not: "
        f"{count:,} account{'s' if count > 1 else ''}"
        for days, count in sorted(counts.items())
    ]


def _held(declared: HostSpec, sections: Mapping[str, str]) -> list[str]:
    """A warning for each declared port on which somebody else listens."""
    ports, units = {port for _, _, port in declared.services.ports()}, standard.REGISTRY.units
    holders = {
        each.port: each.owner
        for each in open_ports(sections.get("listeners", ""))
        if each.protocol == "tcp" and each.port in ports and each.processes and not each.of(units)
    }
    why = "an apply cannot serve mail there, and is put back, unless that is stopped before"
    return [f"port {port} is held by {holder}: {why}" for port, holder in sorted(holders.items())]


def unsettled(sections: Mapping[str, str]) -> tuple[str, ...]:
    """A warning where an apply has not come to its end."""
    past = transactions(sections)
    if past.holder:
        return (f"an apply is at work there, and what it has changed so far is shown, too: {past.holder}",)
    if past.open:
        return (f"the apply {past.open} was cut off and is not settled yet; the next apply settles it first",)
    return ()


def _warnings(spec: Spec, declared: HostSpec, seen: Observation, sections: Mapping[str, str]) -> tuple[str, ...]:
    found = [*spec.host_warnings.get(declared.name, spec.warnings), *unsettled(sections)]
    if sections.get("manifest") and seen.manifest is None:
        found.append("the host's manifest cannot be read: what drifted cannot be told from what is pending")
    if declared.tls.source == "self_signed":
        found.append("the certificate is self-signed: mail clients will warn")
    found += _held(declared, sections)
    found += firewall.unfiltered(sections) if declared.firewall.manage else ()
    found += _expiring(spec, declared.name)
    found += postfix.warnings(declared, sections)
    if seen.facts.free_kib and seen.facts.free_kib < 100_000:
        found.append(f"/var/lib on the host has only {seen.facts.free_kib // 1024} MiB left")
    return tuple(found)
