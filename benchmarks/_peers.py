"""The tools that are measured, each with the declaration of the same mail servers.

Ansible and pyinfra get the texts, paths and owners of the files that mailprov would place, as templates and variables;
what an experienced user writes around them is in peers/.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _measure import Sample
from _trial import DOMAIN, MAILPROV, Access, Member

import mailprov
from mailprov import declaration
from mailprov.credentials.passwords import initial_hash
from mailprov.model import Facts, State
from mailprov.resources.accounts import Accounts
from mailprov.resources.files import File
from mailprov.resources.maps import Map
from mailprov.resources.packages import Package
from mailprov.resources.services import Service
from mailprov.roles import mailhost, recovery

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("MAILPROV_BENCH_CACHE") or "/var/cache/mailprov/bench")
# What is known of a lab's host before it is asked.
FACTS = Facts("0" * 32, "12", 0, (22,), "2.3.19.1", 9_000_000)
GROUPS = ("dovecot", "postfix", "accounts", "maps", "firewall", "systemd")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name and version, and its commands to look at all hosts and to change them (empty: it changes none).

    `environment` is what it wants beside the usual.
    """

    name: str
    version: str
    look: tuple[str, ...]
    change: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def changes(self, sample: Sample) -> list[str]:
        """What it says that it would change, or has changed. SystemExit with its words where it failed."""
        if sample.status:
            raise SystemExit(
                f"{self.name} ended with {sample.status}:\n{sample.said[-4000:]}\n{sample.complained[-4000:]}"
            )
        return list(_SAID[self.name](sample.said))


def tools(folder: Path, members: Sequence[Member], how: Access) -> dict[str, Tool]:
    """All of them, for these hosts, with their declarations in `folder`."""
    floor = (sys.executable, str(HERE / "_floor.py"), str(how.identity_file), str(how.known_hosts))
    declared = ("-f", f"{folder}/mail.yaml")
    consent = ("--yes", "--allow-removals", "--allow-closing", "--canary", "0", "--batch", "100%")
    ansible, pyinfra = installed("ansible-core"), installed("pyinfra")
    playbook = (f"{ansible}/bin/ansible-playbook", "playbook.yaml", "--diff", f"--forks={len(members)}")
    deploy = (f"{pyinfra}/bin/pyinfra", "inventory.py", "deploy.py", "--diff", "--json")
    found = (
        Tool(BARE, version("paramiko"), (*floor, *(f"{each.address}:{each.port}" for each in members))),
        Tool(
            MAILPROV_,
            mailprov.__version__,
            (*MAILPROV, "plan", "--format", "json", *declared),
            (*MAILPROV, "apply", "--format", "json", *consent, *declared),
        ),
        Tool(
            ANSIBLE,
            _version(ansible, "ansible-core"),
            (*playbook, "--check"),
            playbook,
            (("ANSIBLE_HOME", f"{folder}/ansible"), ("ANSIBLE_NOCOLOR", "1"), ("LC_ALL", "C.UTF-8")),
        ),
        Tool(PYINFRA, _version(pyinfra, "pyinfra"), (*deploy, "--dry"), (*deploy, "--yes")),
    )
    return {tool.name: tool for tool in found}


BARE, MAILPROV_, ANSIBLE, PYINFRA = "bare SSH", "mailprov", "Ansible", "pyinfra"


def installed(package: str) -> Path:
    """An environment of its own with a package from PyPI, made where it is missing."""
    folder = CACHE / package
    if not (folder / "ready").exists():
        print(f"installing {package} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run((f"{folder}/bin/pip", "install", "--quiet", package), check=True)
        (folder / "ready").touch()
    return folder


def _version(folder: Path, package: str) -> str:
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run((f"{folder}/bin/python", "-c", asked), check=True, capture_output=True, text=True)
    return done.stdout.strip()


# --- how each says what it did


def _nothing(_said: str) -> Iterator[str]:
    return iter(())


def _mailprov(said: str) -> Iterator[str]:
    for host in json.loads(said)["hosts"]:
        changes = host["changes"]  # a plan names them, an apply counts them
        yield from [str(each) for each in changes] if isinstance(changes, list) else ["a change"] * changes


def _ansible(said: str) -> Iterator[str]:
    task = ""
    for line in said.splitlines():
        task = line if line.startswith(("TASK", "RUNNING HANDLER")) else task
        if line.startswith(("changed: ", "failed: ", "fatal: ")):
            yield f"{task} {line}"
    recap = re.findall(r"ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", said)
    if not recap or any(int(lost) + int(failed) for _, lost, failed in recap):
        yield "no recap, or one with failures"


def _pyinfra(said: str) -> Iterator[str]:
    report = json.loads(said)
    if report["results"] is None:
        return (each["name"] for each in report["plan"] if each["hosts_with_change"])
    return (each["name"] for each in report["results"]["operations"] if each["success"])


_SAID = {BARE: _nothing, MAILPROV_: _mailprov, ANSIBLE: _ansible, PYINFRA: _pyinfra}


# --- what Ansible and pyinfra are told


def instruct(folder: Path, members: Sequence[Member], how: Access) -> tuple[str, ...]:
    """Write the peers' declarations of what mail.yaml in `folder` declares; the paths of all that they manage."""
    for part in HERE.joinpath("peers").iterdir():
        copy = shutil.copytree if part.is_dir() else shutil.copy
        if not (folder / part.name).exists():
            copy(part, folder / part.name)
    declared = declaration.load(folder / "mail.yaml", environ={}, now=datetime.now(UTC))
    one = declared.hosts[members[0].name]
    desired = mailhost.desired(declared, one, FACTS, initial_hash)
    told = dict(_told(folder, desired, one.hostname))
    paths = (item["path"] for group in GROUPS for item in told[f"files_{group}"])
    shared = folder / "group_vars/all"
    shared.mkdir(parents=True, exist_ok=True)
    (shared / "mail.json").write_text(json.dumps(told))
    hosts = {
        each.name: {
            "ansible_host": each.address,
            "ansible_port": each.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(how.identity_file),
            "hostname": each.hostname,
        }
        for each in members
    }
    (folder / "hosts.json").write_text(json.dumps({"mail": {"hosts": hosts}}))
    enrol(folder)
    return (*paths, *(each["path"] for each in told["folders"]), told["certificate"]["path"])


def enrol(folder: Path) -> None:
    """Tell the peers the users of staff.csv."""
    with (folder / "staff.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    users = [
        {
            "address": row["address"],
            "hash": row["password_hash"],
            "quota": int(row["quota"].removesuffix("GiB")) << 30,
        }
        for row in rows
    ]
    users.sort(key=lambda user: str(user["address"]))
    (folder / "group_vars/all/users.json").write_text(json.dumps({"users": users}))


def _told(folder: Path, desired: State, hostname: str) -> Iterator[tuple[str, Any]]:
    ours = {item.key for item in recovery.items()}  # how mailprov itself survives a power cut
    items = [item for item in desired.values() if item.key not in ours]
    yield "domain", DOMAIN
    yield "catch_all", f"user0@{DOMAIN}"
    yield "packages", [item.name for item in items if isinstance(item, Package)]
    yield "services", [item.name for item in items if isinstance(item, Service)]
    folders = [item for item in items if isinstance(item, File) and item.type == "directory"]
    yield "folders", [_place(item.path, (item.mode, item.owner, item.group)) for item in folders]
    groups: dict[str, list[Mapping[str, str]]] = {group: [] for group in GROUPS}
    for item in items:
        if isinstance(item, Accounts):
            groups["accounts"].append(_place(item.path, item.attributes) | {"src": "accounts.j2"})
        elif isinstance(item, Map):
            groups["maps"].append(_place(item.path, item.attributes) | {"src": f"{Path(item.path).name}.j2"})
        elif isinstance(item, File) and item.secret:
            yield "certificate", {"path": item.path, "src": _write(folder / "files", item)}
        elif isinstance(item, File) and item.type == "file":
            reader = item.services[0].removeprefix("mailprov-") if item.services else "dovecot"
            place = _place(item.path, (item.mode, item.owner, item.group))
            groups[reader].append(place | {"src": _write(folder / "templates", item, hostname)})
    for group, files in groups.items():
        yield f"files_{group}", files


def _place(path: str, attributes: tuple[str, str, str]) -> dict[str, str]:
    return {"path": path, **dict(zip(("mode", "owner", "group"), attributes, strict=True))}


def _write(folder: Path, item: File, hostname: str = "") -> str:
    """A file's text under a name of its own, as a template in which only the host's name is filled in."""
    name, text = item.path.strip("/").replace("/", "_"), (item.content or b"").decode()
    if hostname and re.search(r"\{[{%#]", text):
        raise SystemExit(f"{item.path} would be taken for a template")
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text.replace(hostname, "{{ hostname }}") if hostname else text)
    return name
