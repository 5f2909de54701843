"""`mailprov test` on a real host: what it says holds there, and what holds there it says."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from mail_clients import WAYS_IN, arrives, deliver, logins, refusal, subjects
from mail_machine import ALICE, BOB, CAROL, DAVE, ERIN, FRANK, LI, Machine

from mailprov import declaration
from mailprov.expectations.model import Delivery, Login, Outcome, Verdict
from mailprov.expectations.reading import read
from mailprov.model import Spec
from mailprov.workflows.expectations import Judging

pytestmark = pytest.mark.host

POLICY = """\
expectations: 1
ports:
  - {port: [110, 143, 587, 25], answers: starttls}
  - {port: [995, 993, 465], answers: tls}
  - {port: [80, 3306], answers: closed}
limits:
  - {of: listeners_without_tls, at_most: 0}
plan:
  - {of: accounts_closed, at_most: 2, reason: more is a mistake in the export}
  - {of: ports_opened, at_most: 0}
  - {of: restarts, at_most: 0}
  - {of: drift, at_most: 0}
"""
MAILBOXES = (ALICE, BOB, CAROL, DAVE, LI)
"""those that are reached by POP3 from here"""
WRITTEN_TO = (ALICE, "sales@example.test", "team@example.test", "anything+x@other.test", "everyone@other.test", LI)
NOBODY = ("nobody@example.test", "someone@elsewhere.invalid")


@pytest.mark.one_release
def test_what_it_says_of_a_host_holds_there(mail: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mail.folder / "tests"
    folder.mkdir()
    (folder / "policy.yaml").write_text(POLICY)
    declared, mail.declared = mail.declared, yaml.safe_load(yaml.safe_dump(mail.declared))
    monkeypatch.chdir(mail.folder)
    try:
        asks_the_host_and_changes_nothing(mail)
        refuses_what_a_plan_would_do(mail)
        mail.declared = declared
        mail.mailprov("validate")  # writes the declaration out again
        spec = loaded(mail)
        says_who_gets_mail(mail, spec)
        says_who_can_log_in(mail, spec)
    finally:
        mail.declared = declared


def asks_the_host_and_changes_nothing(mail: Machine) -> None:
    before, daemons = mail.files(), mail.daemons()
    files = ("--json", "r.json", "--junit", "r.xml", "--sarif", "r.sarif", "--markdown", "r.md")
    ran = mail.mailprov("test", "--live", "--strict", "--details", "--limit", "mail1", *files)
    assert ran.status == 0, ran.said
    assert ran.out.endswith("8 expectations: 8 hold.\n")
    told = json.loads((mail.folder / "r.json").read_text())
    assert [sorted({each["by"] for each in it["findings"]}) for it in told["expectations"]] == [
        *([["declaration", "host"]] * 4),
        *([["plan"]] * 4),
    ]
    assert all(each["holds"] for it in told["expectations"] for each in it["findings"])
    (suite,) = ElementTree.parse(mail.folder / "r.xml").getroot()  # noqa: S314
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("8", "0", "0")
    assert json.loads((mail.folder / "r.sarif").read_text())["runs"][0]["results"] == []
    assert (mail.files(), mail.daemons()) == (before, daemons)
    wrong = "[{port: 993, answers: starttls}, {port: 143, answers: tls}, {port: 22, answers: closed}]"
    (mail.folder / "wrong.yaml").write_text(f"expectations: 1\nports: {wrong}\n")
    ran = mail.mailprov("test", "wrong.yaml", "--live", "--resolver", "192.0.2.53", "--format", "json")
    assert ran.status == 9
    held = [[each["holds"] for each in it["findings"]] for it in json.loads(ran.out)["expectations"]]
    assert held == [[False, False]] * 3, "the declaration and the host agree"


def refuses_what_a_plan_would_do(mail: Machine) -> None:
    """Drift on the host, accounts that are closed, a port that opens: each by the plan of now, and by a kept one."""
    mail.declared["users"] = [user for user in mail.declared["users"] if user["address"] not in (BOB, CAROL)]
    assert mail.plan("--out", "kept.json").status == 2
    assert mail.mailprov("test", "--plan", "kept.json").status == 0, "two may be closed"
    mail.declared["users"] = [user for user in mail.declared["users"] if user["address"] != FRANK]
    mail.declared["services"]["imap"]["tls"] = 1993
    mail.sh("cp -p /etc/postfix/main.cf /root/main.cf; echo '# by hand' >>/etc/postfix/main.cf")
    try:
        live = mail.mailprov("test", "--live")
        assert mail.plan("--out", "kept.json").status == 2
    finally:
        mail.sh("mv /root/main.cf /etc/postfix/main.cf")
    kept = mail.mailprov("test", "--plan", "kept.json")
    for ran, by in ((live, "the plan of now"), (kept, "the kept plan")):
        assert ran.status == 9, ran.said
        assert f"{by}: the plan closes 3 accounts: mail1 3\n" in ran.out
        assert f"{by}: the plan opens 1 port: mail1 1 (tcp/1993)\n" in ran.out
        assert "mail1 1 (file /etc/postfix/main.cf)\n" in ran.out
        assert "reason: more is a mistake in the export" in ran.out


def loaded(mail: Machine) -> Spec:
    environ = {**os.environ, **mail.environment}
    return declaration.load(Path("mail.yaml"), environ=environ, now=datetime.now(UTC))


def judged(spec: Spec, text: str) -> list[Verdict]:
    judging = Judging(spec, read(f"expectations: 1\n{text}", "x.yaml", spec), list(spec.hosts.values()))
    judging.declared()
    return judging.verdicts()


def says_who_gets_mail(mail: Machine, spec: Spec) -> None:
    """Each address is written to by another mail server, and mail is looked for in every mailbox."""
    sent = {to: deliver(mail, to) for to in WRITTEN_TO}
    for to, subject in sent.items():
        (verdict,) = judged(spec, f"deliveries: [{{to: '{to}', reaches: nobody@elsewhere.test}}]\n")
        assert verdict.outcome is Outcome.FAILS
        ends = verdict.findings[0].what.partition("it reaches ")[2].split(", ")
        assert ends and set(ends) <= set(MAILBOXES)
        assert all(arrives(mail, end, subject) for end in ends), (to, ends)
        (right,) = judged(spec, f"deliveries: [{{to: '{to}', reaches: [{', '.join(ends)}]}}]\n")
        assert isinstance(right.expectation, Delivery) and right.outcome is Outcome.HOLDS
        others = {name for name in MAILBOXES if subject in subjects(mail, name)}
        assert others == set(ends), to
    for to in NOBODY:
        (verdict,) = judged(spec, f"deliveries: [{{to: {to}, refused: true}}]\n")
        assert (verdict.outcome, refusal(mail, "a@elsewhere.test", to) // 100) == (Outcome.HOLDS, 5)


def says_who_can_log_in(mail: Machine, spec: Spec) -> None:
    """Each account tries each protocol from the lab's network; the one whose password is known tries it again here."""
    network = ".".join([*mail.host.place.gateway.split(".")[:3], "0/24"])
    for user in (ALICE, BOB, ERIN, FRANK):
        lines = "".join(f"  - {{user: {user}, by: {by}, from: {network}}}\n" for by in ("pop3", "imap", "submission"))
        verdicts = judged(spec, f"logins:\n{lines}")
        assert len(verdicts) == len(WAYS_IN)
        assert logins(mail, user) == [each.outcome is Outcome.HOLDS for each in verdicts], user
    text = f"expectations: 1\nlogins:\n  - {{user: {BOB}, by: pop3}}\n"
    text += f"  - {{user: {BOB}, by: [imap, submission], allowed: false}}\n"
    text += f"  - {{user: {BOB}, by: [pop3, imap]}}\nports: [{{port: 993, answers: tls}}]\n"
    judging = Judging(spec, read(text, "x.yaml", spec), list(spec.hosts.values()))
    judging.rehearsed(spec, spec.hosts["mail1"])
    well, shut, wrong, port = judging.verdicts()
    assert [each.outcome for each in (well, shut, wrong, port)] == [
        *(Outcome.HOLDS, Outcome.HOLDS, Outcome.FAILS, Outcome.HOLDS)
    ], [each.findings for each in judging.verdicts()]
    assert isinstance(well.expectation, Login) and wrong.findings[0].what == f"refused: {BOB} by imap"
    assert judging.failures == []
