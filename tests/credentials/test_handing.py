"""What an apply does with generated passwords before and after it touches hosts. Real hosts: test_staff_rollout.py."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from passlib.hash import sha512_crypt
from simulated_host import HASH, SimulatedHost, declare

from mailprov.commands.terminal import Terminal
from mailprov.credentials.folder import Folder
from mailprov.engine import plan_file, saved_plan
from mailprov.engine.plan import steps
from mailprov.engine.plan import told as plan_told
from mailprov.engine.risks import FLAGS
from mailprov.engine.rollout import HostStatus, Result, RolloutPolicy
from mailprov.errors import MailprovError, RevertedError, StalePlanError
from mailprov.model import HostSpec, Key, Plan, Spec
from mailprov.observer import Unobserved
from mailprov.report import json as as_json
from mailprov.report import text
from mailprov.resources import accounts, rows
from mailprov.resources.files import File
from mailprov.standard import REGISTRY
from mailprov.workflows import apply as applying
from mailprov.workflows import fleet, host_run
from mailprov.workflows.generated_passwords import GeneratedPasswords, created, known, noted, remind
from mailprov.workflows.survey import PlanResult, survey

ANN, BEN, OLD = "ann@example.com", "ben@example.com", "old@example.com"


def planned(folder: Path, *names: str, host: SimulatedHost | None = None) -> tuple[Spec, Plan]:
    spec = declare(folder, {"users": [{"address": name} for name in names]})
    return spec, (host or SimulatedHost()).plan(spec)


def bundled(spec: Spec, plan: Plan) -> bytes:
    """All that travels to the host."""
    found = host_run.with_passwords(PlanResult(plan, b"", {}), spec, spec.hosts["mail1"])
    return b"".join(step.payload or b"" for step in steps(REGISTRY, found.plan))


def test_a_new_account_gets_a_generated_password(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN, BEN)
    folder = Folder(tmp_path / "handout")
    handing = GeneratedPasswords(folder, Unobserved())
    supplied = handing.supply(spec, [plan])
    entries = {entry.address: entry for entry in folder.entries()}
    assert entries.keys() == {ANN, BEN} and all(entry.pending == ("mail1",) for entry in entries.values())
    data = bundled(supplied, plan)
    for line in data.decode().splitlines():
        if line.startswith(f"S{ANN}:"):
            stored = line.split(":")[1]
    assert sha512_crypt.verify(entries[ANN].password.reveal(), stored.removeprefix("{SHA512-CRYPT}"))
    handing.settle([Result("mail1", HostStatus.APPLIED)])
    assert all((entry.hosts, entry.pending) == (("mail1",), ()) for entry in folder.entries())
    # Nowhere but there.
    shown = [*text.plan(plan, details=True), *text.plan(noted(spec, [plan], folder)[0], details=True)]
    everything = "\n".join(line.text for line in shown) + as_json.plans([plan])
    everything += plan_file.dump(False, [saved_plan.claim(plan, "", {})])
    everything += repr(supplied.users) + data.decode("latin-1")
    assert not any(entry.password.reveal() in everything for entry in entries.values())


def test_without_the_folder_no_bundle_is_made(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN)
    with pytest.raises(MailprovError, match="was not generated"):
        bundled(spec, plan)
    (tmp_path / "handout").write_text("in the way")
    with pytest.raises(MailprovError, match="this is no folder"):
        GeneratedPasswords(Folder(tmp_path / "handout"), Unobserved()).supply(spec, [plan])


def test_passwords_are_all_that_is_put_into_a_plan(tmp_path: Path) -> None:
    """A declaration that asks for anything else by then is another one."""
    spec, plan = planned(tmp_path, ANN)
    other, _ = planned(tmp_path, ANN, BEN)
    with pytest.raises(StalePlanError, match="the declaration changed"):
        host_run.with_passwords(PlanResult(plan, b"", {}), other, other.hosts["mail1"])
    made = host_run.with_passwords(PlanResult(plan, b"", {}), spec, spec.hosts["mail1"]).plan
    assert saved_plan.claim(made, "", {}) == saved_plan.claim(plan, "", {})
    assert [change.after for change in made.changes] == [change.after for change in plan.changes]


@pytest.mark.parametrize(
    ("status", "left"),
    [
        (HostStatus.FAILED, 0),
        (HostStatus.REVERTED, 0),
        (HostStatus.WAITING, 0),
        (HostStatus.UNKNOWN, 1),
        (HostStatus.APPLIED, 1),
    ],
)
def test_what_was_not_made_is_not_handed_out(tmp_path: Path, status: HostStatus, left: int) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    handing = GeneratedPasswords(folder, Unobserved())
    handing.supply(spec, [plan])
    handing.settle([Result("mail1", status)])
    assert len(folder.entries()) == left
    assert [entry.pending for entry in folder.entries()] == ([("mail1",)] if status is HostStatus.UNKNOWN else [()])[
        :left
    ]


def test_what_was_cut_off_is_settled_by_an_apply_that_finds_nothing_to_do(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    GeneratedPasswords(folder, Unobserved()).supply(spec, [plan])
    GeneratedPasswords(folder, Unobserved()).settle([Result("another", HostStatus.UNCHANGED)])
    assert folder.entries()[0].pending == ("mail1",)
    GeneratedPasswords(folder, Unobserved()).settle([Result("mail1", HostStatus.FAILED)])
    assert folder.entries()[0].pending == ("mail1",)
    GeneratedPasswords(folder, Unobserved()).settle([Result("mail1", HostStatus.UNCHANGED)])
    assert (folder.entries()[0].hosts, folder.entries()[0].pending) == (("mail1",), ())


@pytest.mark.parametrize("status", [HostStatus.FAILED, HostStatus.REVERTED, HostStatus.WAITING])
def test_an_apply_that_fails_says_nothing_of_one_that_was_cut_off(tmp_path: Path, status: HostStatus) -> None:
    """The host may be at work with that one yet (and say that it is locked), and make the account a moment later."""
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    GeneratedPasswords(folder, Unobserved()).supply(spec, [plan])
    before = folder.entries()
    spec, plan = planned(tmp_path, ANN, BEN)
    again = GeneratedPasswords(folder, Unobserved())
    again.supply(spec, [plan])
    again.settle([Result("mail1", status)])
    assert folder.entries() == before


def test_a_kept_plan_that_is_applied_twice_takes_no_password_away(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    for status in (HostStatus.APPLIED, HostStatus.FAILED):
        handing = GeneratedPasswords(folder, Unobserved())
        handing.supply(spec, [plan])
        handing.settle([Result("mail1", status)])
    (entry,) = folder.entries()
    assert (entry.hosts, entry.pending) == (("mail1",), ())


def test_the_password_of_a_closed_account_goes_with_it(tmp_path: Path) -> None:
    host, folder = SimulatedHost(), Folder(tmp_path / "handout")
    spec, plan = planned(tmp_path, ANN, OLD)
    handing = GeneratedPasswords(folder, Unobserved())
    host.become(handing.supply(spec, [plan]))
    handing.settle([Result("mail1", HostStatus.APPLIED)])
    spec, plan = planned(tmp_path, ANN, host=host)
    for status, left in (
        (HostStatus.REVERTED, [ANN, OLD]),
        (HostStatus.UNKNOWN, [ANN, OLD]),
        (HostStatus.APPLIED, [ANN]),
    ):
        handing = GeneratedPasswords(folder, Unobserved())
        assert handing.supply(spec, [plan]) is spec
        handing.settle([Result("mail1", status)])
        assert [entry.address for entry in folder.entries()] == left


HASHED = {"address": ANN, "password": {"hash": "$HASH"}}


@pytest.mark.parametrize("users", [[HASHED, {"address": BEN}], [{"address": BEN}]], ids=["hash", "removed"])
@pytest.mark.parametrize(
    ("status", "left"),
    [
        (HostStatus.APPLIED, [BEN]),
        (HostStatus.UNCHANGED, [BEN]),  # somebody else has applied it, or an apply that was cut off here
        (HostStatus.REVERTED, [ANN, BEN]),
        (HostStatus.FAILED, [ANN, BEN]),
        (HostStatus.UNKNOWN, [ANN, BEN]),
        (HostStatus.WAITING, [ANN, BEN]),
    ],
)
def test_an_entry_ends_when_its_password_does(
    tmp_path: Path, users: list[dict[str, object]], status: HostStatus, left: list[str]
) -> None:
    spec, plan = planned(tmp_path, ANN, BEN)
    folder = Folder(tmp_path / "handout")
    handing = GeneratedPasswords(folder, Unobserved())
    handing.supply(spec, [plan])
    handing.settle([Result("mail1", HostStatus.APPLIED)], spec)
    assert [entry.address for entry in folder.entries()] == [ANN, BEN]
    then = declare(tmp_path, {"users": users})
    GeneratedPasswords(folder, Unobserved()).settle([Result("mail1", status)], then)
    assert [entry.address for entry in folder.entries()] == left


def test_a_password_that_its_user_is_to_keep_goes_on(tmp_path: Path) -> None:
    """An initial password that is declared by now was set when the account was made, and never since."""
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    GeneratedPasswords(folder, Unobserved()).supply(spec, [plan])
    then = declare(tmp_path, {"users": [{"address": ANN, "password": {"initial": {"env": "BOB_INITIAL"}}}]})
    GeneratedPasswords(folder, Unobserved()).settle([Result("mail1", HostStatus.UNCHANGED)], then)
    (entry,) = folder.entries()
    assert entry.hosts == ("mail1",)
    assert known(then, {ANN: entry.password}).users[0].password.plaintext == entry.password


def test_a_rollback_ends_what_the_declaration_has_again(tmp_path: Path) -> None:
    """The account is closed, or has a hash of the declaration's again: its generated password is none any more."""
    host, folder = SimulatedHost(), Folder(tmp_path / "handout")
    host.become(declare(tmp_path, {"users": [HASHED]}))
    spec, plan = planned(tmp_path, BEN)
    GeneratedPasswords(folder, Unobserved()).supply(spec, [plan])
    GeneratedPasswords(folder, Unobserved()).settle([Result("mail1", HostStatus.APPLIED)])
    owned = replace(folder.entries()[0], address=ANN)
    folder.change(lambda before: [*before, owned])
    back = rows.change(
        "accounts",
        rows.Seen({ANN: f"{ANN}::::initial:::", BEN: f"{BEN}::::initial:::"}),
        rows.Seen({ANN: f"{ANN}:{HASH}:::managed:::"}),
        accounts.fields,
    )
    assert accounts.ended(back) == {ANN, BEN}
    change = replace(plan.changes[0], key=Key("accounts", "x"), delta=back)
    GeneratedPasswords(folder, Unobserved()).take_back(replace(plan, changes=(change,)))
    assert folder.entries() == ()


def test_an_account_that_is_there_gets_none(tmp_path: Path) -> None:
    host = SimulatedHost()
    host.become(known(*_supplied(tmp_path, OLD)))
    spec, plan = planned(tmp_path, OLD, ANN, host=host)
    assert created(spec, [plan]) == {ANN: ("mail1",)}
    (words,) = [it for it in noted(spec, [plan], Folder(Path("handout")))[0].warnings if "generated" in it]
    assert words == "1 password will be generated, handed out in ./handout"
    spec, plan = planned(tmp_path, OLD, host=host)
    assert plan.empty and created(spec, [plan]) == {}
    folder = Folder(tmp_path / "nowhere" / "handout")
    handing = GeneratedPasswords(folder, Unobserved())
    assert handing.supply(spec, [plan]) is spec
    handing.settle([Result("mail1", HostStatus.UNCHANGED)])
    assert noted(spec, [plan], folder) == [plan]


def _supplied(folder: Path, *names: str):  # type: ignore[no-untyped-def]
    from mailprov.credentials.passwords import generated

    spec = declare(folder, {"users": [{"address": name} for name in names]})
    return spec, {name: generated() for name in names}


def test_a_worker_elsewhere_finds_the_passwords_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path alone: no secret travels to it."""
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    made = GeneratedPasswords(folder, Unobserved()).supply(spec, [plan]).users[0].password.plaintext
    seen: list[Spec] = []

    def change(
        spec: Spec, declared: HostSpec, kept: saved_plan.Claim, _: object, supply: host_run.Supply, **__: object
    ) -> Result:
        seen.append(supply(spec, plan))
        return Result("mail1", HostStatus.APPLIED)

    monkeypatch.setattr(host_run, "apply_host", change)
    monkeypatch.setenv("BOB_INITIAL", "x")
    fleet._change_there(str(folder.path), False, str(tmp_path / "mail.yaml"), "mail1", saved_plan.claim(plan, "", {}))
    assert seen[0].users[0].password.plaintext == made is not None


def test_what_travels_between_workers_is_whole_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOB_INITIAL", "correct horse")
    host = SimulatedHost()
    host.become(known(*_supplied(tmp_path, OLD)))
    host.entries["/etc/postfix/main.cf"].content += "# by hand\n"
    declare(tmp_path, {"users": [{"address": ANN}, {"address": BEN, "password": {"hash": HASH}}]})
    monkeypatch.setattr("mailprov.connection.connect.open_host", lambda *_, **__: host.host())
    words = (str(tmp_path / "mail.yaml"), "mail1")
    there = fleet._look_there(*words)
    assert isinstance(there, host_run.HostPlan)
    travelled = pickle.dumps(there)
    assert HASH.encode() not in travelled and b"PRIVATE KEY" not in travelled
    looked = pickle.loads(travelled)  # noqa: S301
    spec, declared = fleet._read(*words)
    here = host_run.plan_host(spec, declared)
    assert isinstance(here, host_run.HostPlan)
    assert looked.claim == here.claim
    assert text.plan(looked.plan, details=True) == text.plan(here.plan, details=True)
    assert as_json.plans([looked.plan]) == as_json.plans([here.plan])
    assert created(spec, [looked.plan]) == created(spec, [here.plan]) == {ANN: ("mail1",)}


def test_a_rehearsal_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec, plan = planned(tmp_path, ANN)
    handing = GeneratedPasswords(None, Unobserved())
    assert b"S" + ANN.encode() in bundled(handing.supply(spec, [plan]), plan)
    handing.settle([Result("mail1", HostStatus.APPLIED)])
    assert not (tmp_path / "handout").exists()


def test_it_is_told_when_passwords_are_kept_too_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    GeneratedPasswords(folder, Unobserved()).supply(spec, [plan])
    remind(folder, Terminal())
    assert capsys.readouterr().err == ""
    folder.change(lambda before: [replace(entry, until=entry.until.replace(year=2020)) for entry in before])
    remind(folder, Terminal())
    assert "1 password in" in (said := capsys.readouterr().err) and "mailprov handout purge" in said
    folder.path.chmod(0o755)
    remind(folder, Terminal())
    assert "open to others" in capsys.readouterr().err


def test_a_folder_of_another_kind_is_nobodys_business(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(tmp_path / "handout")
    folder.path.mkdir(mode=0o755)
    remind(folder, Terminal())
    assert folder.entries() == () and capsys.readouterr().err == ""
    spec, plan = planned(tmp_path, ANN)
    handing = GeneratedPasswords(folder, Unobserved())
    with pytest.raises(MailprovError, match="open to others"):
        handing.supply(spec, [plan])
    handing.settle([Result("mail1", HostStatus.FAILED)])
    assert capsys.readouterr().err == ""


def test_the_reports_say_how_many(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN, BEN)
    shown = noted(spec, [plan], Folder(tmp_path / "handout"))
    words = f"2 passwords will be generated, handed out in {tmp_path}/handout"
    assert f"  ! {words}" in [line.text for line in text.plans(shown)]
    assert words in json.loads(as_json.plans(shown))["hosts"][0]["warnings"]


def test_a_fleet_gets_one_password_for_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`apply` with three hosts, of which one is put back: real but for the hosts themselves."""
    names = ("mail1", "mail2", "mail3")
    hosts = {name: {"address": f"192.0.2.{n}", "hostname": f"{name}.example.com"} for n, name in enumerate(names, 1)}
    domains = [{"name": "example.com", "hosts": ["mail1", "mail2"]}, {"name": "example.net", "hosts": ["mail3"]}]
    declare(tmp_path, {"hosts": hosts, "domains": domains, "users": [{"address": ANN}, {"address": "cy@example.net"}]})
    monkeypatch.setenv("BOB_INITIAL", "x")
    given: dict[str, str] = {}

    def look(spec: Spec, declared: HostSpec, **_: object) -> host_run.HostPlan:
        host = SimulatedHost(machine=f"{declared.name[-1]:0>32}").host()
        return host_run.host_plan(survey(spec, declared, host), host)

    def change(spec: Spec, declared: HostSpec, kept: saved_plan.Claim, **_: object) -> Result:
        assert len(Folder(tmp_path / "handout").entries()) == 2, "on disk before any host is touched"
        found = look(spec, declared)
        saved_plan.require(kept, found.claim)
        payload = b"".join(step.payload or b"" for step in steps(REGISTRY, found.plan)).decode("latin-1")
        given[declared.name] = next(line for line in payload.splitlines() if line.startswith(("Sann@", "Scy@")))
        if declared.name == "mail3":
            return Result("mail3", HostStatus.REVERTED, error=RevertedError("found wanting"))
        return Result(declared.name, HostStatus.APPLIED)

    monkeypatch.setattr(host_run, "plan_host", look)
    monkeypatch.setattr(host_run, "apply_host", change)
    order = applying.Order(tmp_path / "mail.yaml", consents=frozenset(FLAGS), policy=RolloutPolicy(max_failures=9))
    results = applying.apply(order, Terminal(yes=True))
    assert [result.status for result in results] == [HostStatus.APPLIED, HostStatus.APPLIED, HostStatus.REVERTED]
    (entry,) = Folder(tmp_path / "handout").entries()
    assert (entry.address, entry.hosts, entry.pending) == (ANN, ("mail1", "mail2"), ())
    stored = {given[name].split(":")[1].removeprefix("{SHA512-CRYPT}") for name in ("mail1", "mail2")}
    assert all(sha512_crypt.verify(entry.password.reveal(), one) for one in stored)


def test_a_relay_is_no_reason_to_plan_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password of a new account comes into what was found, where a relay's login is mixed with the host's salt."""
    monkeypatch.setenv("BOB_INITIAL", "correct horse")
    relay = {"host": "smtp.example.net", "user": "office", "password": {"env": "BOB_INITIAL"}}
    spec = declare(tmp_path, {"users": [{"address": ANN}], "outgoing": {"relay": relay}})
    host = SimulatedHost()
    host.said["salt"] = f"{'5a' * 32}  -\n"
    found = survey(spec, spec.hosts["mail1"], host.host())
    (login,) = [item for key, item in found.plan.desired.items() if key.name.startswith("/etc/postfix/mailprov/relay-")]
    assert isinstance(login, File) and login.content is not None and b"5a5a" in login.content
    supplied = GeneratedPasswords(Folder(tmp_path / "handout"), Unobserved()).supply(spec, [found.plan])
    assert supplied is not spec
    assert host_run.with_passwords(found, supplied, supplied.hosts["mail1"]).plan.desired[login.key] == login
    assert b"5a5a" not in pickle.dumps(plan_told(found.plan))
