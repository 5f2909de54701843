"""A Debian host in memory: it answers the probe's questions as probe.sh would, and can be made what a plan asks for.

So a plan is tried from declaration to report, with every question that is really asked and no other, in milliseconds.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailprov.connection.fake import Call, FakeHost
from mailprov.declaration import load
from mailprov.engine import manifest, probe
from mailprov.engine.plan import prints
from mailprov.model import Plan, Secret, Spec, State
from mailprov.resources.accounts import Accounts, owns_password, with_password
from mailprov.resources.certificates import Certificate
from mailprov.resources.dkim_keys import DkimKey
from mailprov.resources.files import File
from mailprov.resources.firewall import Table
from mailprov.resources.maps import Map
from mailprov.resources.packages import Package
from mailprov.resources.scripts import Script, binary_of
from mailprov.resources.services import Service
from mailprov.resources.system_users import SystemUser
from mailprov.standard import REGISTRY
from mailprov.workflows.survey import survey

NOW = datetime(2030, 6, 1, 12, 0, tzinfo=UTC)
HASH = "{SHA512-CRYPT}$6$" + "saltsaltsaltsalt$" + "a" * 86
VERSIONS = {"11": "1:2.3.13+dfsg1-2", "12": "1:2.3.19.1+dfsg1-2.1", "13": "1:2.4.1+dfsg1-6"}

BASE = """
mailprov: 1
hosts: {mail1: {address: 192.0.2.10, hostname: mail.example.com}}
domains: [{name: example.com}]
users:
  - {address: alice@example.com, password: {hash: "$HASH"}, aliases: [postmaster@example.com]}
  - {address: bob@example.com, password: {initial: {env: BOB_INITIAL}}}
tls: {self_signed: {}}
services:
  imap: {tls: 993}
  submission: {starttls: 587}
  smtp: {port: 25}
firewall: {manage: true}
"""


def declare(
    folder: Path, changes: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Spec:
    """BASE with its top-level keys replaced by `changes`, loaded; a key that is None is left out."""
    document = yaml.safe_load(BASE) | dict(changes or {})
    text = yaml.safe_dump({key: value for key, value in document.items() if value is not None}, sort_keys=False)
    path = folder / "mail.yaml"
    path.write_text(text.replace("$HASH", f"'{HASH}'"), encoding="utf-8")
    return load(path, environ={"BOB_INITIAL": "correct horse"} if environ is None else environ, now=NOW)


def self_signed(names: tuple[str, ...], until: datetime, since: datetime = NOW - timedelta(days=1)) -> str:
    """A certificate that signs itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), since, until)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def sha256(data: str | bytes) -> str:
    """In hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@dataclass
class Entry:
    """A file, folder or link."""

    type: str = "regular file"
    mode: str = "644"
    owner: str = "root"
    group: str = "root"
    content: str = ""

    def stat(self, path: str) -> str:
        return f"{self.type}|{self.mode}|{self.owner}|{self.group}|{path}\n"


@dataclass
class Unit:
    """A systemd unit."""

    active: str = "active"
    enabled: str = "enabled"
    load: str = "loaded"
    type: str = "notify"


@dataclass
class SimulatedHost:
    """See the module; a fresh one is a Debian without mail server."""

    release: str = "12"
    machine: str = "0" * 32
    clock: datetime = NOW
    keys: dict[str, str] = field(default_factory=dict)
    packages_: dict[str, str] = field(default_factory=lambda: {"openssl": "3.0", "ca-certificates": "20230311"})
    users: dict[str, str] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    pems: dict[str, str] = field(default_factory=dict)
    key_mode: str = "600"
    units: dict[str, Unit] = field(default_factory=dict)
    table: str = ""
    owed: list[str] = field(default_factory=list)
    managed: list[str] = field(default_factory=list)
    kept: str = ""
    archive: dict[str, str] = field(default_factory=dict)
    """newer versions, by package: what is installed of a daemon is upgraded with what is installed anew of it"""
    said: dict[str, str] = field(default_factory=dict)
    """what it answers to any other question"""

    def host(self) -> FakeHost:
        """A session with it."""
        return FakeHost("mail1", self.respond)

    def respond(self, call: Call) -> bytes:
        """What a probe's script says here."""
        assert call.argv == ("sh", "-s")
        _, begun, calls = call.stdin.decode().partition(f"section '{probe.BEGIN}'\n")
        assert begun, "every script marks where its answer begins"
        lines = [probe.BEGIN]
        for line in calls.splitlines():
            words = shlex.split(line)
            if words[0] == "answer":
                text = self.ask(words[2], *words[3:]).removesuffix("\n")
                lines += [words[1], *(f"{words[1]} {line}" for line in text.split("\n") if text)]
        return "\n".join([*lines, probe.END, ""]).encode()

    def ask(self, function: str, *words: str) -> str:
        """What one function of probe.sh says here."""
        functions: dict[str, Callable[..., str]] = {
            "facts": self._facts,
            "packages": lambda *names: "".join(
                f"ii |{name}|{self.packages_[name]}\n" for name in names if name in self.packages_
            ),
            "system_users": lambda *names: "".join(self.users.get(name, "") for name in names),
            "files": self._files,
            "accounts": self._accounts,
            "maps": self._maps,
            "scripts": self._scripts,
            "certificates": self._certificates,
            "dkim_keys": self._dkim_keys,
            "services": self._services,
            "firewall": lambda: f"{sha256(self.table)}  -\n",
            "loading": lambda: (
                "".join(f"loaded {line}\n" for line in self.table.splitlines()) + self.said.get("loading", "")
            ),
            "manifest": lambda: self.kept,
            "installation": self._installation,
            "content": lambda path: base64.b64encode(self.entries[path].content.encode()).decode(),
            "rows": self._rows,
        }
        return functions[function](*words) if function in functions else self.said.get(function, "")

    def _facts(self) -> str:
        rows = [f"uid 0\nmachine {self.machine}\nclock {int(self.clock.timestamp())}\nfree 9000000\n"]
        rows.append(f"os debian\nrelease {self.release}\ninit systemd\n")
        if "dovecot-core" not in self.packages_:
            rows.append(f"candidate {VERSIONS[self.release]}\n")
        return "".join([*rows, *(f"owed {name}\n" for name in self.owed)])

    def _installation(self, *names: str) -> str:
        if "installation" in self.said:
            return self.said["installation"]
        daemons = {name.partition("-")[0] for name in names}
        said = []
        for name, version in self.archive.items():
            if name in self.packages_ and name.partition("-")[0] in daemons:
                said.append(f"Inst {name} [{self.packages_[name]}] ({version} Debian:stable [amd64]) []\n")
        for name in names:
            version = self.archive.get(name) or (VERSIONS[self.release] if "dovecot" in name else "1.0")
            said.append(f"Inst {name} ({version} Debian:stable [amd64])\n")
        return "".join(said)

    def _files(self, *paths: str) -> str:
        there = [path for path in (*paths, *self.managed) if path in self.entries]
        stats = "".join(self.entries[path].stat(path) for path in there)
        plain = [path for path in there if self.entries[path].type.startswith("regular")]
        return stats + "".join(f"{sha256(self.entries[path].content)}  {path}\n" for path in plain)

    def _accounts(self, path: str) -> str:
        if path not in self.entries:
            return ""
        digest = sha256(without_own_passwords(self.entries[path].content))
        return f"{digest}  -\n{self.entries[path].stat(path)}"

    def _maps(self, *paths: str) -> str:
        there = [path for path in paths if path in self.entries]
        kept = "".join(
            self.entries.get(f"{path}.db", Entry("regular file", "640", "root", "postfix")).stat(f"{path}.db")
            for path in there
            if path in self.databases
        )
        databases = "".join(f"{sha256(self.databases[path])}  {path}.db\n" for path in there if path in self.databases)
        plain = "".join(f"{sha256(self.entries[path].content)}  {path}\n" for path in there)
        return "".join(self.entries[path].stat(path) for path in there) + kept + plain + databases

    def _scripts(self, *paths: str) -> str:
        told = [path for path in (*paths, *self.managed) if path.endswith(".sieve") and path in self.entries]
        there = [name for path in told for name in (path, binary_of(path)) if name in self.entries]
        stats = "".join(self.entries[path].stat(path) for path in there)
        return stats + "".join(f"{sha256(self.entries[path].content)}  {path}\n" for path in there)

    def _rows(self, reader: str, path: str, separator: str, *parts: str) -> str:
        text = self.entries[path].content
        return every_part(without_own_passwords(text) if reader == "without_own_passwords" else text, len(parts))

    def _dkim_keys(self, folder: str) -> str:
        said: list[str] = []
        for name, use in self.keys.items():
            path = f"{folder}/{name}"
            halves = ["rsa", "ed25519"] if use != "retired" else []
            said += [f"regular file|644|root|root|{path}.txt"]
            said += [f"regular file|640|root|_rspamd|{path}.{half}" for half in halves]
            said += [f"{sha256(half)}  {path}.{half}" for half in halves]
            said += [f"{path}.txt: use {use} 1900000000"]
            said += [f"{path}.txt: {half} {sha256(half)} {'M' * 40}" for half in ("rsa", "ed25519")]
        return "\n".join(said)

    def _certificates(self, *words: str) -> str:
        said = []
        for path in words[::2]:
            said.append(f"certificate {path}\n")
            if path in self.pems:
                said.append(f"mode {self.key_mode} root\n{self.pems[path]}matches\n")
        return "".join(said)

    def _services(self, *names: str) -> str:
        blocks = []
        for name in names:
            unit = self.units.get(name, Unit("inactive", "", "not-found"))
            blocks.append(
                f"Type={unit.type}\nId={name}.service\nLoadState={unit.load}\n"
                f"ActiveState={unit.active}\nUnitFileState={unit.enabled}\n"
            )
        return "\n".join(blocks)

    def edit(self, act: str, value: Any) -> None:
        """One thing that somebody did on the self."""
        if act == "remove":
            del self.entries[value]
        elif act == "file":
            self.entries[value["path"]] = Entry(**{key: text for key, text in value.items() if key != "path"})
        elif act == "append":
            self.entries[value["path"]].content += value["text"]
        elif act == "replace":
            there = self.entries[value["path"]].content
            assert value["old"] in there
            self.entries[value["path"]].content = there.replace(value["old"], value["new"])
        elif act == "chmod":
            self.entries[value["path"]].mode = value["mode"]
        elif act == "unit":
            self.units[value["name"]] = Unit(**{key: text for key, text in value.items() if key != "name"})
        elif act == "certificate":
            self._certify(value["path"], tuple(value["names"]), NOW + timedelta(days=value["days"]))
        elif act == "database":
            self.databases.pop(value)
        elif act == "days":
            self.clock += timedelta(days=value)
        elif act == "purge":
            del self.packages_[value]
        elif act == "package":
            self.packages_ |= value
        elif act == "manifest":
            self.kept = value
        else:
            assert act in ("owed", "table", "release", "users", "said", "archive")
            setattr(self, act, value)

    def plan(self, spec: Spec) -> Plan:
        """The plan for this host as `spec` declares it."""
        return survey(spec, spec.hosts["mail1"], self.host()).plan

    def become(self, spec: Spec, name: str = "mail1") -> Plan:
        """Make the host what a plan asks for, as its transaction would; returns that plan."""
        surveyed = survey(spec, spec.hosts[name], self.host())
        made = surveyed.plan
        for change in made.changes:
            if change.after is None:
                self._lose(change.key.kind, change.key.name)
        for item in made.desired.values():
            self._gain(item)
        if "mailprov-firewall" in made.effects:
            self.table = self.entries["/etc/mailprov/mailprov.nft"].content
        self.owed = []
        self.managed = list(made.managed)
        answer = self.respond(Call(("sh", "-s"), surveyed.ask, 1.0)).decode().split("\n")
        there = REGISTRY.live(probe.decode(probe.only(REGISTRY.stable, answer)))
        known = {key: REGISTRY.kind(key).made(item) for key, item in there.items() if key in made.desired}
        self.kept = manifest.head("20300601T120000Z-abcdef", prints(made.desired), known)
        return made

    def _lose(self, kind: str, name: str) -> None:
        if kind == "firewall":
            self.table = ""
        elif kind == "service":
            self.units[name] = Unit("inactive", "disabled")
        else:
            self.entries.pop(name, None)
            self.pems.pop(name, None)

    def _certify(self, path: str, names: tuple[str, ...], until: datetime) -> None:
        self.pems[path] = self_signed(names, until)
        self.entries[path] = Entry("regular file", "600", content=self.pems[path])

    def _gain(self, item: object) -> None:
        if isinstance(item, Package):
            self.packages_.setdefault(item.name, VERSIONS[self.release] if "dovecot" in item.name else "1.0")
        elif isinstance(item, SystemUser):
            self.users[item.name] = f"{item.name}:x:999:999::{item.home}:{item.shell}\n{item.name} {item.group}\n"
        elif isinstance(item, File):
            kind = "directory" if item.type == "directory" else "regular file"
            content = (item.content or b"").decode()
            self.entries[item.path] = Entry(kind, item.mode, item.owner, item.group, content)
        elif isinstance(item, Accounts):
            self.entries[item.path] = Entry("regular file", *item.attributes, self._merged(item))
        elif isinstance(item, Map):
            content = "".join(f"{row}\n" for row in sorted(item.rows.reveal().values() if item.rows else ()))
            self.entries[item.path] = Entry("regular file", *item.attributes, content)
            self.databases[item.path] = f"database of {content}"
        elif isinstance(item, Script):
            content = (item.content or b"").decode()
            self.entries[item.path] = Entry("regular file", *item.attributes, content)
            self.entries[binary_of(item.path)] = Entry("regular file", *item.attributes, f"binary of {content}")
        elif isinstance(item, Certificate) and item.source == "self_signed" and item.path not in self.pems:
            self._certify(item.path, item.names, self.clock + timedelta(days=397))
        elif isinstance(item, Service):
            wrapped = item.name == "postfix" and self.release != "13"
            self.units[item.name] = Unit(type="oneshot" if wrapped else "notify")
            if wrapped:
                self.units["postfix@-"] = Unit(type="forking", enabled="indirect")
        elif isinstance(item, DkimKey):
            self.keys[item.key.name] = item.pair.use
        else:
            assert isinstance(item, (Table, Certificate))

    def _merged(self, item: Accounts) -> str:
        there = self.entries[item.path].content if item.path in self.entries else ""
        own = {line.split(":")[0]: Secret(line.split(":")[1]) for line in there.splitlines()}
        lines = []
        for address, line in (item.rows.reveal() if item.rows else {}).items():
            if owns_password(line):
                assert item.initial is not None
                line = with_password(line, own.get(address) or item.initial(address))
            lines.append(line)
        return "".join(f"{line}\n" for line in sorted(lines))


def every_part(text: str, parts: int) -> str:
    """As if all parts of a table differed, which is always a right answer."""
    rows = (f"{number} {row}\n" for number, row in enumerate(text.splitlines(), 1))
    return " ".join(map(str, range(parts))) + "\n" + "".join(rows)


def without_own_passwords(text: str) -> str:
    """A passwd-file as the host shows it."""
    rows = (line.split(":") for line in text.splitlines())
    return "".join(":".join([row[0], "", *row[2:]] if row[4:5] == ["initial"] else row) + "\n" for row in rows)


def changes(made: Plan) -> list[str]:
    """A plan's changes, a line each."""
    return [f"{c.action.value} {c.key} ({c.reason.value}): {c.summary}" for c in made.changes]


def items(state: State, kind: str) -> list[str]:
    """The names of the items of one kind."""
    return [key.name for key in state if key.kind == kind]
