"""A repository that is the mail system of a real host: the recipes' own steps, from the first commit to the night."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from age_tools import Person, block, person, sealed
from forge_runners import ROOT, Forge, GitHub, GitLab, Run, git
from mail_machine import Machine

from mailprov.lab import LabHost
from mailprov.workflows import new_repository

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]

ACCOUNTS = "/etc/dovecot/mailprov/accounts"
MAIN = "/etc/postfix/main.cf"
EDIT = f"echo 'mynetworks = 0.0.0.0/0' >>{MAIN}"
CONSENTS = "allow-many allow-removals"
CANARY = "bobs initial canary 4711"
# Where $FORGE/hold is, the apply waits before it answers the host, until $FORGE/go is there.
HELD = f"""#!/bin/sh
PYTHONPATH={ROOT} exec {sys.executable} -c '
import os, pathlib, time
import mailprov.workflows.run_plan as where
forge, kept = pathlib.Path(os.environ["FORGE"]), where.answer
def held(*words, **more):
    if (forge / "hold").exists():
        (forge / "held").touch()
        while not (forge / "go").exists():
            time.sleep(0.05)
    return kept(*words, **more)
where.answer = held
from mailprov.commands import main
main()' "$@"
"""


class Team:
    """Who has the repository, on a forge: its host, its secrets, and who can open them."""

    def __init__(self, host: LabHost, folder: Path) -> None:
        self.host, self.admin, self.pipeline = host, person(), person()
        self.key = host.identity_file.read_text()
        argv = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        names = ("-subj", "/CN=mail.example.com", "-addext", "subjectAltName=DNS:mail.example.com", "-days", "300")
        out = ("-keyout", "mail.key", "-out", "mail.pem")
        subprocess.run((*argv, *names, *out), cwd=folder, check=True, capture_output=True)
        self.certificate, self.tls = (folder / "mail.pem").read_text(), (folder / "mail.key").read_text()
        given = {"MAILPROV_AGE_IDENTITY": self.pipeline.identity, "MAILPROV_SSH_KEY": self.key}
        self.secrets = dict.fromkeys(("mail-plan", "mail", "mail-nightly"), given)

    def begin(self, work: Path) -> None:
        """What `init --gitops` writes, and what a team makes of it."""
        new_repository.write(work)
        both: tuple[Person, ...] = (self.admin, self.pipeline)
        declared = (work / "mail.yaml").read_text().replace("192.0.2.10", self.host.address)
        tls = "  certificate: {file: mail.pem}\n  key: {age: {file: secrets/mail.key.age}}\n"
        declared = declared.replace("  self_signed: {} ", f"{tls}  #")
        bob = "users:\n  - address: bob@example.com\n    quota: 1GiB\n    password:\n      initial:\n        age: |\n"
        (work / "mail.yaml").write_text(f"{declared}\n{bob}{block(CANARY, *both, indent=10)}")
        (work / "mail.pem").write_text(self.certificate)
        (work / "secrets").mkdir()
        (work / "secrets/mail.key.age").write_bytes(sealed(self.tls, *both))
        with (work / ".age-recipients").open("a") as file:
            file.writelines(f"{each.recipient}\n" for each in both)
        # as docs/gitops.md says; nobody is at a terminal here
        argv = (sys.executable, "-m", "mailprov", "trust", "mail1", "--yes")
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(work.parent), "PYTHONPATH": str(ROOT)}
        environment["MAILPROV_AGE_IDENTITY"] = self.pipeline.identity
        subprocess.run(argv, cwd=work, env=environment, check=True, capture_output=True)
        assert self.host.address in (work / "known_hosts").read_text()

    def secret(self) -> set[str]:
        """Every word that nobody may find."""
        lines = [line for text in (self.key, self.tls) for line in text.splitlines() if "-----" not in line]
        return {CANARY, self.pipeline.identity, self.admin.identity, *lines}

    def accounts(self) -> set[str]:
        return {line.partition(":")[0] for line in self.host.read(ACCOUNTS).decode().splitlines()}


def well(run: Run, *jobs: str) -> Run:
    assert run.ran == dict.fromkeys(jobs, "success"), run.log
    return run


def joins(forge: Forge, who: str) -> None:
    """Somebody's branch with a new person, from main as it is."""
    git("checkout", "--quiet", "-B", who, "main", cwd=forge.work)
    user = f"users:\n  - {{address: {who}@example.com, quota: 1GiB}}\n"
    (forge.work / f"people/{who}.yaml").write_text(user)
    forge.commit(f"{who} joins", who)


def handed_out(forge: Forge, team: Team, run: Run, folder: Path) -> str:
    """What somebody opens who is in .age-recipients."""
    (sealed_file,) = (forge.store / "artifacts" / str(run.number)).rglob("handout.age")
    identity = team.admin.write(folder / "admin.txt")
    argv = ("age", "--decrypt", "-i", identity, sealed_file)
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def held(forge: Forge, begin: Callable[[], Run]) -> Iterator[list[Run]]:
    """A run whose apply is at work, and waits to confirm it, for as long as this lasts."""
    done: list[Run] = []
    (forge.store / "hold").touch()
    thread = threading.Thread(target=lambda: done.append(begin()))
    thread.start()
    try:
        eventually(lambda: (forge.store / "held").exists() or not thread.is_alive())
        (forge.store / "hold").unlink()
        yield done
    finally:
        (forge.store / "go").touch()
        thread.join()


def nothing_leaked(forge: Forge, words: set[str], *runs: Run) -> None:
    said = "\n".join(run.log for run in runs)
    found = {word: "a log" for word in words if word in said}
    for path in forge.files():
        text = path.read_text(errors="replace")
        found |= {word: str(path) for word in words if word in text}
    assert found == {}
    assert not [*(forge.folder / "runner").glob("*/tmp/mailprov.*")], "private folders are gone"


@pytest.mark.one_release
def test_a_repository_is_the_mail_system(clone: Machine, tmp_path: Path) -> None:
    """A host that is in service comes under a repository: first one on GitHub, and then another on GitLab."""
    team = Team(clone.host, tmp_path)
    on_github(team, tmp_path)
    on_gitlab(team, tmp_path)


def on_github(team: Team, folder: Path) -> None:
    (folder / "github").mkdir()
    forge = GitHub(folder / "github", team.secrets, HELD)
    team.begin(forge.work)
    forge.commit("Our mail")
    # who had accounts here would lose them: more than this team's own policy allows
    before = team.accounts()
    hostile = forge.dispatch(CONSENTS)
    assert (hostile.ran, hostile["plan"].status) == ({"plan": "failure"}, 9), hostile.log
    assert "the plan closes 7 accounts" in hostile.log and forge.known["artifacts"] == []
    assert team.accounts() == before
    policy = forge.work / "tests/policy.yaml"
    policy.write_text(policy.read_text().replace("at_most: 5,", "at_most: 7,"))
    forge.commit("This once")
    # the first time: by hand, and approved; the consents are given by whoever starts it
    first = well(forge.dispatch(CONSENTS), "plan", "merged", "apply")
    assert team.accounts() == {"alice@example.com", "bob@example.com"}
    passwords = handed_out(forge, team, first, folder)
    assert "alice@example.com" in passwords and "bob@example.com" not in passwords
    (row,) = csv.DictReader(passwords.removeprefix("\ufeff").splitlines())
    words = team.secret() | {row["password"]}

    # branch, plan as Markdown, merge, the kept plan applied
    joins(forge, "carol")
    planned = well(forge.pull("carol"), "check", "plan")
    (comment,) = forge.known["comments"]
    assert comment["body"].startswith("### mailprov: ") and "carol@example.com" in comment["body"].replace("\u200b", "")
    assert "carol@example.com" not in team.accounts()
    merged = well(forge.merged("carol"), "merged", "apply")
    assert "carol@example.com" in team.accounts()

    # a hand edit: the night names it, and an apply puts it back
    team.host.run(("sh", "-c", EDIT))
    night = forge.night()
    assert (night.ran, night["drift"].status) == ({"drift": "failure"}, 2), night.log
    (issue,) = forge.known["issues"]
    assert MAIN in issue["body"].replace("\u200b", "") and issue["state"] == "open"
    again = well(forge.dispatch(), "plan", "merged", "apply")
    well(forge.night(), "drift")
    assert forge.known["issues"][0]["state"] == "closed"

    # two at once: the second is refused (8); and so is a plan of an older commit, whenever it comes (4)
    for who in ("dave", "erin"):
        joins(forge, who)
        well(forge.pull(who), "check", "plan")
    with held(forge, lambda: forge.merged("dave")) as dave:
        second = forge.dispatch()
        assert 8 in (second["plan"].status, second["apply"].status), second.log
    well(dave[0], "merged", "apply")
    stale = forge.merged("erin")
    assert (stale.ran, stale["apply"].status) == ({"merged": "success", "apply": "failure"}, 4), stale.log
    assert team.accounts() == {f"{who}@example.com" for who in ("alice", "bob", "carol", "dave")}
    nothing_leaked(forge, words, hostile, first, planned, merged, night, again, second, dave[0], stale)


def on_gitlab(team: Team, folder: Path) -> None:
    key = folder / "key"
    key.write_text(team.key)
    given = {"MAILPROV_AGE_IDENTITY": team.pipeline.identity, "MAILPROV_SSH_KEY_FILE": str(key)}
    (folder / "gitlab").mkdir()
    forge = GitLab(folder / "gitlab", dict.fromkeys(team.secrets, given), HELD)
    team.begin(forge.work)
    forge.commit("Our mail")
    joins(forge, "frank")
    planned = well(forge.request("frank"), "check", "plan")
    (note,) = forge.known["notes"]
    assert note["body"].startswith("### mailprov: ") and "frank@example.com" not in team.accounts()
    # The merge request's labels are the consents; without them it is refused (5).
    refused = forge.merged("frank")
    assert refused["apply"].status == 5 and "frank@example.com" not in team.accounts(), refused.log
    forge.know(requests=[{**each, "labels": CONSENTS.split()} for each in forge.known["requests"]])
    merged = well(forge.push(git("rev-parse", "main", cwd=forge.work)), "merged", "apply")
    assert team.accounts() == {f"{who}@example.com" for who in ("alice", "bob", "frank")}
    team.host.run(("sh", "-c", EDIT))
    night = forge.night()
    assert night["drift"].status == 2 and MAIN in night.log.replace("\u200b", ""), night.log
    nothing_leaked(forge, team.secret(), planned, refused, merged, night)
