"""`mailprov drift` from the command line to its exit code, its hosts in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fleet_in_memory import Fleet

from mailprov.errors import Exit

MAIN = "/etc/postfix/main.cf"
FORMS = ("text", "json", "markdown")


@pytest.fixture
def applied(fleet: Fleet) -> Fleet:
    """Two hosts that are as declared."""
    fleet.hosts = {}
    fleet.declare(2)
    assert fleet.run("apply", "--yes") == 0
    return fleet


@pytest.fixture
def drift(applied: Fleet, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `mailprov drift`; its exit code is the same in every form."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        codes = []
        for form in (*FORMS[1:], FORMS[0]):
            codes.append(applied.run("drift", "--format", form, *words))
            said = capsys.readouterr()
            if form == "json":
                document = json.loads(said.out)
                assert document["drifted"] is any(
                    each["ignored"] is None for host in document["hosts"] for each in host["drift"]
                )
        assert len(set(codes)) == 1, codes
        assert applied.begun == [] and sorted(applied.opened) == sorted([*applied.closed, *applied.gone])
        return codes[0], said.out, said.err

    return run


Drift = Callable[..., tuple[int, str, str]]


def test_there_and_back(applied: Fleet, drift: Drift) -> None:
    assert drift() == (
        0,
        "h1, h2\n  no drift: nothing was changed here since the last apply\nNo drift on 2 hosts.\n",
        "",
    )
    applied.hosts["h2"].edit("append", {"path": MAIN, "text": "x = y\n"})
    code, out, err = drift()
    assert (code, err) == (Exit.CHANGES, "")
    assert f"~ file {MAIN}  content" in out and "-x = y" in out
    assert out.endswith("Drift: 1 change on 1 host.\n")
    rule = {"kind": "file", "name": MAIN, "reason": "an experiment"}
    applied.document["drift"] = {"ignore": [rule]}
    code, out, err = drift()
    assert (code, err) == (0, "")
    assert f"~ file {MAIN}  content  [mail.yaml:" in out and "an experiment]" in out
    assert out.endswith("No drift on 2 hosts; 1 change ignored.\n")
    assert applied.run("apply", "--yes") == 0
    assert applied.begun == ["h2"], "what is ignored is put back all the same"
    assert drift()[:2] == (
        0,
        "h1, h2\n  no drift: nothing was changed here since the last apply\nNo drift on 2 hosts.\n",
    )


def test_what_is_pending_is_no_drift(applied: Fleet, drift: Drift) -> None:
    applied.document["users"] = applied.document["users"][:1]
    code, out, _ = drift()
    assert code == 0
    assert "changes of the declaration pending: see `mailprov plan`" in out
    applied.hosts["h1"].edit("append", {"path": MAIN, "text": "x = y\n"})
    code, out, _ = drift()
    assert code == Exit.CHANGES and "accounts" not in out


def test_a_host_ignores_what_it_declares(applied: Fleet, drift: Drift) -> None:
    for host in applied.hosts.values():
        host.edit("append", {"path": MAIN, "text": "x = y\n"})
    applied.document["hosts"]["h1"]["drift"] = {"ignore": [{"kind": "file", "name": "*/main.cf", "only": ["content"]}]}
    assert drift("--limit", "h1")[0] == 0
    assert drift("--limit", "h2")[0] == Exit.CHANGES
    assert drift()[0] == Exit.CHANGES


def lose(fleet: Fleet) -> None:
    fleet.hosts["h1"].edit("manifest", "")


def away(fleet: Fleet) -> None:
    fleet.gone = {"h1"}


def twins(fleet: Fleet) -> None:
    fleet.hosts["h1"].machine = fleet.hosts["h2"].machine


def at_work(fleet: Fleet) -> None:
    fleet.hosts["h1"].said["transactions"] = "open x\nlocked anna\nevent 1900000000 do 3\n"


@pytest.mark.parametrize(
    ("spoil", "alone", "says"),
    [
        (lose, Exit.ERROR, "the record of the last apply is gone"),
        (away, Exit.ERROR, "no answer"),
        (at_work, Exit.LOCKED, "an apply there has not come to its end"),
    ],
    ids=["lost", "away", "at-work"],
)
def test_what_cannot_be_told_is_said(applied: Fleet, drift: Drift, spoil: Any, alone: Exit, says: str) -> None:
    spoil(applied)
    applied.hosts["h2"].edit("append", {"path": MAIN, "text": "x = y\n"})
    code, out, err = drift()
    assert code == Exit.PARTIAL and says in err and "Error: h1: " in err
    assert out.startswith("h2\n") and "Drift: 1 change on 1 host." in out, "the other one is told of all the same"
    code, out, err = drift("--limit", "h1")
    assert (code, out) == (alone, "") and says in err


def test_two_names_for_one_machine(applied: Fleet, drift: Drift) -> None:
    twins(applied)
    code, out, err = drift()
    assert (code, out) == (Exit.PARTIAL, "") and err.count("this is the same machine as") == 2


def test_programs_are_told_of_failures_too(applied: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    lose(applied)
    capsys.readouterr()
    assert applied.run("drift", "--format", "json") == Exit.PARTIAL
    found = json.loads(capsys.readouterr().out)
    assert [each["host"] for each in found["hosts"]] == ["h2"]
    assert [each["where"] for each in found["failed"]] == ["h1"]
    assert found["failed"][0]["why"] == "the record of the last apply is gone"


def test_shards_together_are_the_whole(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.run("apply", "--yes") == 0
    fleet.hosts["h4"].edit("append", {"path": MAIN, "text": "x = y\n"})
    capsys.readouterr()
    codes = []
    for shard in ("1/2", "2/2"):
        codes.append(fleet.run("drift", "--shard", shard))
        fleet.opened.sort()
        assert fleet.opened == (["h1", "h3", "h5"] if shard == "1/2" else ["h2", "h4"])
    assert codes == [0, Exit.CHANGES]
    capsys.readouterr()
    assert fleet.run("drift", "--shard", "6/6") == 0
    assert capsys.readouterr().out == "No drift on 0 hosts.\n"
    assert fleet.run("drift", "--shard", "3/2") == Exit.ERROR
    assert fleet.run("drift", "--executor", "elsewhere") == Exit.ERROR


def test_without_its_secrets(
    applied: Fleet, drift: Drift, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No password is needed, neither one that was set once nor one that is declared; sudo's is."""
    applied.document["users"][0]["password"] = {"hash": {"env": "ALICE_HASH"}}
    monkeypatch.delenv("BOB_INITIAL")
    code, out, err = drift()
    assert code == 0 and out.endswith("No drift on 2 hosts.\n")
    assert "ALICE_HASH is not set; what depends on it is compared by its fingerprint alone" in err
    applied.hosts["h1"].edit(
        "append", {"path": "/etc/dovecot/mailprov/accounts", "text": "eve@example.com:{PLAIN}hunter2::::::\n"}
    )
    code, out, _ = drift()
    assert code == Exit.CHANGES
    assert "accounts /etc/dovecot/mailprov/accounts  changed; how is not told, for that takes a secret" in out
    applied.document["hosts"]["h1"] |= {
        "ssh": {"user": "admin"},
        "become": True,
        "become_password": {"env": "SUDO_PASSWORD"},
    }
    assert applied.run("drift") == Exit.INVALID
    assert "SUDO_PASSWORD is not set" in capsys.readouterr().err
    assert applied.opened == []


def test_through_dask_it_is_the_same(applied: Fleet, drift: Drift, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real scheduler; its worker is a thread of this process, where the hosts are."""
    distributed = pytest.importorskip("distributed")
    applied.hosts["h2"].edit("append", {"path": MAIN, "text": "x = y\n"})
    applied.document["drift"] = {"ignore": [{"kind": "file", "name": "/etc/nothing", "reason": "why"}]}
    monkeypatch.delenv("BOB_INITIAL")
    whole = drift()
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", dashboard_address=None
    ) as cluster:
        where = cluster.scheduler_address.replace("tcp://", "dask://")
        assert drift("--executor", where) == whole
        assert whole[0] == Exit.CHANGES
        lose(applied)
        code, out, err = drift("--executor", where)
        assert code == Exit.PARTIAL and "the record of the last apply is gone" in err and f"~ file {MAIN}" in out
    assert applied.run("drift", "--executor", "dask://127.0.0.1:1") == Exit.ERROR
