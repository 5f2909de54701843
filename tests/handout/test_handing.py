"""What an apply does with generated passwords before and after it touches hosts. Real hosts: test_staff_rollout.py."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from passlib.hash import sha512_crypt
from simulated_host import HASH, SimulatedHost, declare

from mailprov import planfile
from mailprov.dangers import FLAGS
from mailprov.errors import Exit, MailprovError, RevertedError, StalePlanError
from mailprov.handout.folder import Folder
from mailprov.model import HostSpec, Plan, Spec
from mailprov.plan import steps
from mailprov.report import json as as_json
from mailprov.report import text
from mailprov.rollout import Pace, Result, Verdict
from mailprov.survey import Survey, survey
from mailprov.verbs import apply as applying
from mailprov.verbs import runner, work
from mailprov.verbs.handing import Handing, created, known, noted, remind

ANN, BEN, OLD = "ann@example.com", "ben@example.com", "old@example.com"


def planned(folder: Path, *names: str, host: SimulatedHost | None = None) -> tuple[Spec, Plan]:
    spec = declare(folder, {"users": [{"address": name} for name in names]})
    return spec, (host or SimulatedHost()).plan(spec)


def bundled(spec: Spec, plan: Plan) -> bytes:
    """All that travels to the host."""
    found = work.with_passwords(Survey(plan, b"", {}), spec, spec.hosts["mail1"])
    return b"".join(step.payload or b"" for step in steps(found.plan))


def test_a_new_account_gets_a_generated_password(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN, BEN)
    folder = Folder(tmp_path / "handout")
    handing = Handing(folder)
    supplied = handing.supply(spec, [plan])
    entries = {entry.address: entry for entry in folder.entries()}
    assert entries.keys() == {ANN, BEN} and all(entry.pending == ("mail1",) for entry in entries.values())
    data = bundled(supplied, plan)
    for line in data.decode().splitlines():
        if line.startswith(f"S{ANN}:"):
            stored = line.split(":")[1]
    assert sha512_crypt.verify(entries[ANN].password.reveal(), stored.removeprefix("{SHA512-CRYPT}"))
    handing.settle([Result("mail1", Verdict.APPLIED)])
    assert all((entry.hosts, entry.pending) == (("mail1",), ()) for entry in folder.entries())
    # Nowhere but there.
    shown = [*text.plan(plan, details=True), *text.plan(noted(spec, [plan], folder)[0], details=True)]
    everything = "\n".join(line.text for line in shown) + as_json.plans([plan])
    everything += planfile.dump(False, [planfile.claim(plan, "", {})])
    everything += repr(supplied.users) + data.decode("latin-1")
    assert not any(entry.password.reveal() in everything for entry in entries.values())


def test_without_the_folder_no_bundle_is_made(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN)
    with pytest.raises(MailprovError, match="was not generated"):
        bundled(spec, plan)
    (tmp_path / "handout").write_text("in the way")
    with pytest.raises(MailprovError, match="this is no folder"):
        Handing(Folder(tmp_path / "handout")).supply(spec, [plan])


def test_passwords_are_all_that_is_put_into_a_plan(tmp_path: Path) -> None:
    """A declaration that asks for anything else by then is another one."""
    spec, plan = planned(tmp_path, ANN)
    other, _ = planned(tmp_path, ANN, BEN)
    with pytest.raises(StalePlanError, match="the declaration changed"):
        work.with_passwords(Survey(plan, b"", {}), other, other.hosts["mail1"])
    made = work.with_passwords(Survey(plan, b"", {}), spec, spec.hosts["mail1"]).plan
    assert planfile.claim(made, "", {}) == planfile.claim(plan, "", {})


@pytest.mark.parametrize(
    ("verdict", "left"),
    [(Verdict.FAILED, 0), (Verdict.REVERTED, 0), (Verdict.WAITING, 0), (Verdict.UNKNOWN, 1), (Verdict.APPLIED, 1)],
)
def test_what_was_not_made_is_not_handed_out(tmp_path: Path, verdict: Verdict, left: int) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    handing = Handing(folder)
    handing.supply(spec, [plan])
    handing.settle([Result("mail1", verdict)])
    assert len(folder.entries()) == left
    assert [entry.pending for entry in folder.entries()] == ([("mail1",)] if verdict is Verdict.UNKNOWN else [()])[
        :left
    ]


def test_what_was_cut_off_is_settled_by_an_apply_that_finds_nothing_to_do(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    Handing(folder).supply(spec, [plan])
    Handing(folder).settle([Result("another", Verdict.UNCHANGED)])
    assert folder.entries()[0].pending == ("mail1",)
    Handing(folder).settle([Result("mail1", Verdict.FAILED)])
    assert folder.entries()[0].pending == ("mail1",)
    Handing(folder).settle([Result("mail1", Verdict.UNCHANGED)])
    assert (folder.entries()[0].hosts, folder.entries()[0].pending) == (("mail1",), ())


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.REVERTED, Verdict.WAITING])
def test_an_apply_that_fails_says_nothing_of_one_that_was_cut_off(tmp_path: Path, verdict: Verdict) -> None:
    """The host may be at work with that one yet (and say that it is locked), and make the account a moment later."""
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    Handing(folder).supply(spec, [plan])
    before = folder.entries()
    spec, plan = planned(tmp_path, ANN, BEN)
    again = Handing(folder)
    again.supply(spec, [plan])
    again.settle([Result("mail1", verdict)])
    assert folder.entries() == before


def test_a_kept_plan_that_is_applied_twice_takes_no_password_away(tmp_path: Path) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    for verdict in (Verdict.APPLIED, Verdict.FAILED):
        handing = Handing(folder)
        handing.supply(spec, [plan])
        handing.settle([Result("mail1", verdict)])
    (entry,) = folder.entries()
    assert (entry.hosts, entry.pending) == (("mail1",), ())


def test_the_password_of_a_closed_account_goes_with_it(tmp_path: Path) -> None:
    host, folder = SimulatedHost(), Folder(tmp_path / "handout")
    spec, plan = planned(tmp_path, ANN, OLD)
    handing = Handing(folder)
    host.become(handing.supply(spec, [plan]))
    handing.settle([Result("mail1", Verdict.APPLIED)])
    spec, plan = planned(tmp_path, ANN, host=host)
    for verdict, left in ((Verdict.REVERTED, [ANN, OLD]), (Verdict.UNKNOWN, [ANN, OLD]), (Verdict.APPLIED, [ANN])):
        handing = Handing(folder)
        assert handing.supply(spec, [plan]) is spec
        handing.settle([Result("mail1", verdict)])
        assert [entry.address for entry in folder.entries()] == left


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
    handing = Handing(folder)
    assert handing.supply(spec, [plan]) is spec
    handing.settle([Result("mail1", Verdict.UNCHANGED)])
    assert noted(spec, [plan], folder) == [plan]


def _supplied(folder: Path, *names: str):  # type: ignore[no-untyped-def]
    from mailprov.passwords import generated

    spec = declare(folder, {"users": [{"address": name} for name in names]})
    return spec, {name: generated() for name in names}


def test_a_worker_elsewhere_finds_the_passwords_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path alone: no secret travels to it."""
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    made = Handing(folder).supply(spec, [plan]).users[0].password.plaintext
    seen: list[Spec] = []

    def change(spec: Spec, declared: HostSpec, kept: planfile.Claim, supply: work.Supply) -> Result:
        seen.append(supply(spec, plan))
        return Result("mail1", Verdict.APPLIED)

    monkeypatch.setattr(work, "change", change)
    monkeypatch.setenv("BOB_INITIAL", "x")
    runner._change_there(str(folder.path), str(tmp_path / "mail.yaml"), "mail1", planfile.claim(plan, "", {}))
    assert seen[0].users[0].password.plaintext == made is not None


def test_what_travels_between_workers_is_whole_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOB_INITIAL", "correct horse")
    host = SimulatedHost()
    host.become(known(*_supplied(tmp_path, OLD)))
    host.entries["/etc/postfix/main.cf"].content += "# by hand\n"
    declare(tmp_path, {"users": [{"address": ANN}, {"address": BEN, "password": {"hash": HASH}}]})
    monkeypatch.setattr("mailprov.host.door.open_host", lambda *_, **__: host.host())
    words = (str(tmp_path / "mail.yaml"), "mail1")
    there = runner._look_there(*words)
    assert isinstance(there, work.Look)
    travelled = pickle.dumps(there)
    assert HASH.encode() not in travelled and b"PRIVATE KEY" not in travelled
    looked = pickle.loads(travelled)  # noqa: S301
    spec, declared = runner._read(*words)
    here = work.look(spec, declared)
    assert isinstance(here, work.Look)
    assert looked.claim == here.claim
    assert text.plan(looked.plan, details=True) == text.plan(here.plan, details=True)
    assert as_json.plans([looked.plan]) == as_json.plans([here.plan])
    assert created(spec, [looked.plan]) == created(spec, [here.plan]) == {ANN: ("mail1",)}


def test_a_rehearsal_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec, plan = planned(tmp_path, ANN)
    handing = Handing(None)
    assert b"S" + ANN.encode() in bundled(handing.supply(spec, [plan]), plan)
    handing.settle([Result("mail1", Verdict.APPLIED)])
    assert not (tmp_path / "handout").exists()


def test_it_is_told_when_passwords_are_kept_too_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, plan = planned(tmp_path, ANN)
    folder = Folder(tmp_path / "handout")
    Handing(folder).supply(spec, [plan])
    remind(folder)
    assert capsys.readouterr().err == ""
    folder.change(lambda before: [replace(entry, until=entry.until.replace(year=2020)) for entry in before])
    remind(folder)
    assert "1 password in" in (said := capsys.readouterr().err) and "mailprov handout purge" in said
    folder.path.chmod(0o755)
    remind(folder)
    assert "open to others" in capsys.readouterr().err


def test_a_folder_of_another_kind_is_nobodys_business(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(tmp_path / "handout")
    folder.path.mkdir(mode=0o755)
    remind(folder)
    assert folder.entries() == () and capsys.readouterr().err == ""
    spec, plan = planned(tmp_path, ANN)
    handing = Handing(folder)
    with pytest.raises(MailprovError, match="open to others"):
        handing.supply(spec, [plan])
    handing.settle([Result("mail1", Verdict.FAILED)])
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

    def look(spec: Spec, declared: HostSpec) -> work.Look:
        host = SimulatedHost(machine=f"{declared.name[-1]:0>32}").host()
        return work.looked(survey(spec, declared, host), host)

    def change(spec: Spec, declared: HostSpec, kept: planfile.Claim, **_: object) -> Result:
        assert len(Folder(tmp_path / "handout").entries()) == 2, "on disk before any host is touched"
        found = look(spec, declared)
        planfile.require(kept, found.claim)
        payload = b"".join(step.payload or b"" for step in steps(found.plan)).decode("latin-1")
        given[declared.name] = next(line for line in payload.splitlines() if line.startswith(("Sann@", "Scy@")))
        if declared.name == "mail3":
            return Result("mail3", Verdict.REVERTED, error=RevertedError("found wanting"))
        return Result(declared.name, Verdict.APPLIED)

    monkeypatch.setattr(work, "look", look)
    monkeypatch.setattr(work, "change", change)
    how = applying.How(applying.Consent(yes=True, flags=frozenset(FLAGS)), Pace(max_failures=9))
    assert applying.apply(tmp_path / "mail.yaml", (), None, how) == Exit.PARTIAL
    (entry,) = Folder(tmp_path / "handout").entries()
    assert (entry.address, entry.hosts, entry.pending) == (ANN, ("mail1", "mail2"), ())
    stored = {given[name].split(":")[1].removeprefix("{SHA512-CRYPT}") for name in ("mail1", "mail2")}
    assert all(sha512_crypt.verify(entry.password.reveal(), one) for one in stored)
