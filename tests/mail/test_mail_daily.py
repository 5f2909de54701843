"""docs/daily-tasks.md typed on a real host, command by command: what the page shows is what is run here."""

from __future__ import annotations

import csv
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from mail_certificates import Certificate, certificate

from mailprov.credentials.passwords import sha512_crypt
from mailprov.lab import Lab, LabHost
from mailprov.model import Secret

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, CHINESE = DOCS / "daily-tasks.md", DOCS / "daily-tasks.zh-CN.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
ZOE, YU, RENAMED = "zoe@example.com", "yu@example.com", "zoe.yang@example.com"
TABLE = "/etc/dovecot/mailprov/accounts"
ASKING = ("apply", "password reset", "handout purge")
"""commands that ask, where nobody is there to answer"""


def blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def section(title: str) -> list[str]:
    """The commands under one heading of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    bodies = [body for kind, body in _BLOCK.findall(text) if kind == "console"]
    return [line.removeprefix("$ ") for body in bodies for line in body.splitlines()]


def test_both_languages_show_the_same_commands() -> None:
    assert blocks(PAGE) == blocks(CHINESE)
    assert {kind for kind, _ in blocks(PAGE)} == {"console", "sh"}
    titles = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(titles) == len(re.findall(r"^## ", CHINESE.read_text(encoding="utf-8"), re.M))
    shown = "".join(body for kind, body in blocks(PAGE) if kind == "console").splitlines()
    assert [f"$ {command}" for title in titles for command in section(title)] == shown


class Relay:
    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(envelope.content or b"")
        self.letters.append((envelope.rcpt_tos[0], str(message["Subject"])))
        return "250 OK"


class Admin:
    """A folder with mail.yaml and a staff list, and who types there."""

    def __init__(self, folder: Path, host: LabHost, shown: Certificate, port: int) -> None:
        self.folder, self.host = folder, host
        ssh = {"user": "root", "identity_file": str(host.identity_file), "known_hosts": str(host.known_hosts)}
        self.declared: dict[str, Any] = {
            "mailprov": 1,
            "hosts": {
                "mail1": {"address": "192.0.2.10", "hostname": "mail.example.com"},
                "mail2": {"address": host.address, "hostname": "mail.example.com", "ssh": ssh},
            },
            "domains": [{"name": "example.com", "catch_all": YU}],
            "users": [{"from_csv": "staff.csv"}],
            "tls": {"certificate": {"file": "mail.pem"}, "key": {"file": "mail.key"}},
            "services": {"pop3": {"tls": 995}, "imap": {"tls": 993}, "submission": True, "smtp": True},
            "handout": {"from": "it@example.com", "relay": {"host": "127.0.0.1", "port": port, "tls": "none"}},
        }
        self.staff: dict[str, tuple[str, ...]] = {YU: ("", "yu@home.example")}
        self.show(shown)

    def show(self, shown: Certificate) -> None:
        (self.folder / "mail.pem").write_text(shown.pem)
        (self.folder / "mail.key").touch(0o600)
        (self.folder / "mail.key").write_text(shown.key_pem)

    def type(self, command: str, *statuses: int, stdin: str = "") -> str:
        lines = ((name, *cells, *["", ""][len(cells) - 2 :]) for name, cells in self.staff.items())
        rows = "".join(f"{','.join(cells)}\n" for cells in lines)
        (self.folder / "staff.csv").write_text(f"address,password_hash,contact,previous_address,aliases\n{rows}")
        (self.folder / "mail.yaml").write_text(yaml.safe_dump(self.declared))
        words = shlex.split(command)[1:] + (
            ["--yes"] if command.startswith(tuple(f"mailprov {it}" for it in ASKING)) else []
        )
        program = "from mailprov.commands import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "no_proxy": "*"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode in (statuses or (0,)), f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def kept(self) -> set[str]:
        path = self.folder / "handout/passwords.csv"
        if not path.exists():
            return set()
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["address"] for row in csv.DictReader(file)}

    def accounts(self) -> dict[str, str]:
        rows = (line.split(":") for line in self.host.read(TABLE).decode().splitlines())
        return {row[0]: row[1] for row in rows}


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[Relay, int]]:
    taken = Relay()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    controller = Controller(taken, hostname="127.0.0.1", port=port)
    controller.start()
    yield taken, port
    controller.stop()


@pytest.mark.host
@pytest.mark.timeout(900)
@pytest.mark.parametrize("release", ["bookworm"])
def test_the_page_is_typed(release: str, relay: tuple[Relay, int], tmp_path: Path) -> None:
    ca = certificate("Test CA")
    with Lab() as lab:
        host = lab.boot("mail2", release)
        admin = Admin(tmp_path, host, certificate("mail.example.com", ca), relay[1])
        moves(admin)
        joins_forgets_leaves(admin, relay[0])
        admin.show(certificate("mail.example.com", ca))
        for command in section("A certificate is replaced"):
            admin.type(command)
        assert "no changes" in admin.type("mailprov plan")


def moves(admin: Admin) -> None:
    """The new host gets the old one's accounts before its first apply: passwords stay, and none is generated."""
    own = sha512_crypt(Secret("her own")).reveal()
    copy = next(body for kind, body in blocks(PAGE) if kind == "sh")
    script = copy.partition("ssh root@mail2 '")[2].partition("'\n")[0]
    admin.host.run(("sh", "-c", script), stdin=f"{YU}:{own}:::initial:::\n".encode())
    trust, apply, verify, dns, verify_all = section("The mail moves to another host")
    admin.type(trust)
    said = admin.type(apply)
    assert "generated" not in said and admin.kept() == set()
    assert admin.accounts() == {YU: own}
    admin.type(verify)
    del admin.declared["hosts"]["mail1"]
    admin.type(dns, 0, 9)
    admin.type(verify_all)


def is_renamed_and_back(admin: Admin) -> None:
    before, cells = admin.accounts(), admin.staff.pop(ZOE)
    admin.staff[RENAMED] = (*cells, ZOE, ZOE)
    for command in section("Somebody gets another address"):
        admin.type(command)
    assert admin.accounts() == {YU: before[YU], RENAMED: before[ZOE]} and admin.kept() == set()
    del admin.staff[RENAMED]
    admin.staff[ZOE] = (*cells, RENAMED, "")
    admin.type("mailprov apply --allow-renames")
    assert admin.accounts() == before


def joins_forgets_leaves(admin: Admin, relay: Relay) -> None:
    admin.staff[ZOE] = ("", "zoe@home.example")
    for command in section("Somebody joins"):
        admin.type(command)
    assert [to for to, _ in relay.letters] == ["zoe@home.example"] * 2 and admin.kept() == set()
    is_renamed_and_back(admin)
    before = admin.accounts()
    reset, send, make, apply = section("Somebody has forgotten the password")
    admin.type(reset)
    assert admin.kept() == {ZOE} and admin.accounts()[YU] == before[YU] and admin.accounts()[ZOE] != before[ZOE]
    admin.type(send)
    assert len(relay.letters) == 3
    hashed = admin.type(make, stdin="another one\n").strip()
    admin.staff[ZOE] = (hashed, "zoe@home.example")
    admin.type(apply)
    assert admin.accounts()[ZOE] == hashed and admin.kept() == set()
    assert "nothing to send" in admin.type("mailprov handout send --passwords --again")
    admin.host.run(
        ("install", "-d", "-o", "vmail", "-g", "vmail", "/var/vmail/example.com", "/var/vmail/example.com/zoe")
    )
    del admin.staff[ZOE]
    apply, show, delete = section("Somebody leaves")
    admin.type(apply)
    assert f"{ZOE}  0 messages" in admin.type(show)
    admin.type(delete)
    assert admin.accounts().keys() == {YU}
