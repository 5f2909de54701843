"""mailprov rollback: a state that the host has kept is planned for, agreed to and applied, as a declared one is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from mailprov import kept, manifest, probe, rollback
from mailprov.apply import apply as carry_out
from mailprov.dangers import dangers
from mailprov.errors import Exit, StalePlanError
from mailprov.host import Host
from mailprov.model import Command, HostSpec, Key, Question, Spec
from mailprov.plan import Sight, closer_questions, live, made, plan, prints, questions, steps
from mailprov.report import effects, text
from mailprov.report.text import Line
from mailprov.resources import certificates, files, services
from mailprov.roles import mailhost
from mailprov.roles.firewall import PATH
from mailprov.roles.tls import PEM
from mailprov.rollback import Target
from mailprov.survey import Survey, ask, refuse_unsettled, unsettled, usage
from mailprov.transaction import Work
from mailprov.verbs import console
from mailprov.verbs.apply import Consent, agree_to
from mailprov.verbs.handing import Handing, folder
from mailprov.verbs.heard import Heard
from mailprov.verbs.past import RECORD, whole
from mailprov.verbs.session import each
from mailprov.verbs.transact import answer_anew, progress, transaction_name, who

DAEMONS = ("dovecot", "postfix")


@dataclass(frozen=True, slots=True)
class Back:
    """A plan that leads back, and what must hold of the host afterwards."""

    found: Survey
    target: Target
    validators: tuple[Command, ...]
    health: tuple[Command, ...]
    canary: bool
    past: str = ""
    """"rollback to before …", where the oldest apply that is taken back was one itself"""


_ROLLBACK = "rollback to before "


def rollback_hosts(
    file: Path, limit: Sequence[str], target: str | None, consent: Consent, handout: Path | None = None
) -> Exit:
    """Each host as it was before an apply that it keeps. Consents are asked for as an apply asks for them."""
    where = folder(file, handout)

    def verb(_spec: Spec, declared: HostSpec, host: Host) -> None:
        _rollback(declared, host, target, consent, Handing(where))

    return each(file, limit, verb)


def _rollback(declared: HostSpec, host: Host, target: str | None, consent: Consent, handing: Handing) -> None:
    heard = Heard()
    with heard.interruptible():
        with console.doing(f"looking at {declared.name}"):
            back = look_back(declared.name, host, target)
        found, oldest = back.found.plan, back.target.oldest.name
        again = f" (itself a {back.past})" if back.past else ""
        lines = text.plan(found, details=consent.details, unchanged=f"no changes: it is as it was before {oldest}")
        console.show([Line(f"{declared.name}  back to before {oldest}{again}", "head"), *lines[1:]])
        if found.empty:
            return
        handing.warn_of_losses(found)
        agree_to([found], consent, f"Roll {declared.name} back, {len(found.changes)} changes?", "rolled back")
        begun = time.monotonic()
        _carry_out(back, declared, host, heard)
    handing.take_back(found)
    console.show([Line(f"  rolled back in {time.monotonic() - begun:.1f} s; {effects(found)}", "good")])
    console.say("  the declaration is as it was: change it, too, or the next apply brings this back", "warn")


# --- what it is now, and what it was


def look_back(name: str, host: Host, target: str | None) -> Back:
    """Look at the host, read-only, and plan for what it was before the apply `target` (None: before the last).

    Raises MailprovError where there is nothing to go back to, HostError and ConnectError as survey does.
    """
    asked = tuple(Question(each, each) for each in (*RECORD, "kept"))
    sections = ask(host, probe.script(asked)).sections
    past = whole(sections, name)
    back = kept.undone(past.entries, kept.read(sections["kept"]), target)
    script = probe.script((*questions(rollback.asked(back)), Question("past", "past")))
    answer = ask(host, script)
    if answer.sections["past"].strip() != back[0].name:
        raise StalePlanError("something was applied to the host just now; nothing was touched", where=name)
    then = manifest.parse(answer.sections.get("manifest", ""))
    sight = Sight(probe.facts(answer.sections), live(answer.sections), then, answer.digest)
    aim = rollback.target(back, sight.live, mailhost.reads)
    copies = rollback.questions(aim.things)
    more = ask(host, probe.script(copies)).sections if copies else {}
    aim = replace(aim, things=rollback.told(aim.things, more))
    differing = rollback.differences(aim.things, sight)
    closer = closer_questions(differing)
    more = ask(host, probe.script(closer)).sections if closer else {}
    desired = rollback.desired(aim.things, sight, aim.oldest.up)
    planned = plan(name, sight, desired, differing, more, _warnings(aim, sections))
    if planned.empty:
        refuse_unsettled(name, sections)
    open_now = {port for _, port in probe.listening(answer.sections["listeners"], *probe.LISTEN)}
    closing = aim.closing(open_now)
    wanted = dangers(open_now - closing, planned.changes, answer.sections, usage(host, planned))
    # Of what stays as it is only the effects matter.
    asked_for = {key: item for key, item in desired.items() if key in aim.things}
    planned = replace(planned, desired=asked_for, dangers=wanted, managed=aim.oldest.managed)
    running = {item.name for item in desired.values() if isinstance(item, services.Service) and item.active}
    meta = next(entry.meta for entry in past.entries if entry.transaction == aim.oldest.name)
    was = _ROLLBACK + meta.partition(_ROLLBACK)[2] if _ROLLBACK in meta else ""
    return Back(Survey(planned, script, prints(sight.live)), aim, *_expected(aim, running, closing), was)


def _warnings(aim: Target, sections: Mapping[str, str]) -> tuple[str, ...]:
    found = list(unsettled(sections))
    found += ["passwords that users have changed since stay theirs; mail that was deleted or has expired stays gone"]
    if aim.installed:
        found.append(f"packages stay installed: {', '.join(aim.installed)}")
    return tuple(found)


def _expected(
    aim: Target, running: set[str], closing: Set[int]
) -> tuple[tuple[Command, ...], tuple[Command, ...], bool]:
    """What must hold of the staged tree, and of what is served; whether a canary can tell the latter.

    A configuration that mailprov did not make may need what a canary has not: mail stores, sockets, other daemons.
    """
    asked = aim.oldest.former.desired if aim.oldest.former else {}
    ours = Key(files.KIND, "/etc/dovecot/dovecot.conf") in asked
    validators: list[Command] = [("dovecot_check",)] if "dovecot" in running else []
    validators += [("postfix_check",)] if ours and "postfix" in running else []
    tls = _certificate(asked)
    back_again = any(item is not None and key.name == tls for key, item in aim.things.items())
    validators += [("certificate_matches", tls, tls)] if back_again else []
    validators += [("nft", "-c", "-f", PATH)] if Key(files.KIND, PATH) in asked else []
    ports, served = aim.oldest.ports, aim.oldest.served
    health: list[Command] = [("serves_as", *listener) for listener in served]
    if aim.sure:
        closed = sorted(map(str, closing))
        health.append(("listens_as", *ports, "-", *closed) if ports else ("listens_nowhere",))
    return tuple(validators), tuple(health), ours and running.issuperset(DAEMONS)


# --- the way back


def _carry_out(back: Back, declared: HostSpec, host: Host, heard: Heard) -> None:
    """Have the host carry it out. Raises the errors of mailprov.apply.apply."""
    name, former, planned = transaction_name(), back.target.oldest.former, back.found.plan
    asked: Mapping[Key, str] = former.desired if former else {}
    work = Work(
        planned,
        steps(planned),
        back.found.ask,
        name,
        who(f"{_ROLLBACK}{back.target.oldest.name}"),
        manifest.head(name, asked, made(former)),
        back.validators,
        back.health,
        _certificate(asked),
        canary=back.canary,
    )

    def confirm(_leaf: str) -> None:
        answer_anew(name, declared, lambda: "", console.say)

    carry_out(back.found.seen, work, host, on_event=heard.follow(work, progress(work)), confirm=confirm)


def _certificate(asked: Mapping[Key, str]) -> str:
    """Where the certificate is that the former configuration names; "" where that was not ours."""
    kept = [key.name for key in asked if key.kind == certificates.KIND]
    return (*kept, *([PEM] if Key(files.KIND, PEM) in asked else []), "")[0]
