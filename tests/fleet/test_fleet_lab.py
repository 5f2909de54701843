"""Many real hosts: one dies in the middle of a rollout, which stops, says so, and goes on when it is run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailprov.lab import Lab, LabHost

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]

COUNT = int(os.environ.get("MAILPROV_FLEET", "5"))
HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "a" * 86
PACKAGES = ("dovecot-core", "dovecot-lmtpd", "dovecot-pop3d", "dovecot-imapd", "postfix", "openssl", "nftables")


class Fleet:
    """Hosts that are the same, and their declaration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, LabHost] = {}
        self.declared: dict[str, Any] = {
            "mailprov": 1,
            "domains": ["example.test"],
            "users": [
                {"address": "alice@example.test", "password": {"hash": HASH}, "aliases": ["postmaster@example.test"]}
            ],
            "tls": {"self_signed": {}},
            "services": {"pop3": True, "smtp": True},
            "firewall": {"manage": True},
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        ssh = {name: {"user": "root", "connect_timeout": 5} for name in self.hosts}
        for name, host in self.hosts.items():
            ssh[name] |= {"identity_file": str(host.identity_file), "known_hosts": str(host.known_hosts)}
        hosts = {
            name: {"address": host.address, "hostname": f"{name}.example.test", "ssh": ssh[name]}
            for name, host in self.hosts.items()
        }
        (self.folder / "mail.yaml").write_text(yaml.safe_dump(self.declared | {"hosts": hosts}))
        words = (sys.executable, "-c", "from mailprov.commands import main; main()", *arguments)
        pipe = subprocess.PIPE
        return subprocess.Popen(words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        assert "Traceback" not in err
        return process.returncode, out, err


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Lab() as lab:
        fleet = Fleet(tmp_path)
        fleet.hosts["mail00"] = lab.boot("mail00", "bookworm", packages=PACKAGES)
        status, out, err = fleet.run("apply", "--yes", "--allow-closing")
        assert status == 0, out + err
        fleet.hosts["mail00"].stop()
        layer = fleet.hosts["mail00"].snapshot()
        lab.discard(fleet.hosts["mail00"])
        fleet.hosts = {f"mail{n:02}": lab.boot(f"host{n:02}", layer=layer) for n in range(1, COUNT + 1)}
        yield fleet


def test_a_host_dies_in_the_middle(fleet: Fleet) -> None:
    # Each host has a certificate and names of its own by now: the first apply gives them theirs.
    status, out, err = fleet.run("apply", "--yes", "--batch", "100%", "--format", "json")
    assert status == 0, err
    assert {host["verdict"] for host in json.loads(out)["hosts"]} == {"applied"}
    fleet.declared["services"]["imap"] = True
    fleet.declared["users"].append({"address": "bob@example.test", "password": {"hash": HASH}})
    victim = "mail02"
    process = fleet.start("apply", "--yes", "--canary", "1", "--batch", "2", "--format", "json")
    assert process.stderr is not None and process.stdout is not None
    for line in process.stderr:
        if line.startswith("now ") and victim in line:
            fleet.hosts[victim].kill()
            break
    out, err = process.communicate(timeout=600)
    assert process.returncode == 7, err
    verdicts = {host["host"]: host["verdict"] for host in json.loads(out)["hosts"]}
    assert verdicts.pop(victim) in ("failed", "unknown")
    assert [verdicts.pop("mail01"), verdicts.pop("mail03")] == ["applied", "applied"]
    assert set(verdicts.values()) == {"waiting"} and len(verdicts) == COUNT - 3
    # While it is down, nothing more is begun.
    status, out, err = fleet.run("apply", "--yes", "--format", "json")
    assert status == 7 and "waiting" in out and victim in err
    fleet.hosts[victim].start()
    status, out, err = fleet.run("apply", "--yes")
    assert status == 0, err
    assert f"applied   {COUNT - 2:>5}" in out and "unchanged     2  mail01, mail03" in out
    status, out, err = fleet.run("plan", "--detailed-exitcode")
    assert (status, out.splitlines()[-1]) == (0, f"No changes on {COUNT} hosts.")


def test_shards_together_are_the_whole(fleet: Fleet) -> None:
    whole = json.loads(fleet.run("plan", "--format", "json")[1])["hosts"]
    parts = [json.loads(fleet.run("plan", "--format", "json", "--shard", f"{k}/3")[1])["hosts"] for k in (1, 2, 3)]
    assert sorted((host for part in parts for host in part), key=lambda host: host["host"]) == whole
    assert all(parts)


def test_through_dask_it_is_the_same(fleet: Fleet) -> None:
    """A real scheduler with two workers, each a process of its own."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        where = cluster.scheduler_address.replace("tcp://", "dask://")
        whole = fleet.run("plan", "--format", "json", "--detailed-exitcode")
        assert whole[0] == 2
        assert fleet.run("plan", "--format", "json", "--detailed-exitcode", "--executor", where)[:2] == whole[:2]
        status, out, err = fleet.run("apply", "--yes", "--batch", "100%", "--executor", where, "--format", "json")
        assert status == 0, err
        assert {host["verdict"] for host in json.loads(out)["hosts"]} == {"applied"}
    status, _, err = fleet.run("plan", "--executor", "dask://127.0.0.1:1")
    assert status == 1 and "no Dask scheduler answers" in err
