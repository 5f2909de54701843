"""docs/tutorial.md typed at a terminal, command by command, from nothing to a fetched message and a change taken back.

Only the address is another, and what the page says in words is done as it says: the parts of mail.yaml that are shown
are written into it, questions are answered, the password is typed where it is asked for.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailprov.lab import Lab, LabHost

ROOT = Path(__file__).resolve().parents[2]
FIRST, PAGE, CHINESE = (ROOT / "docs" / name for name in ("index.md", "tutorial.md", "tutorial.zh-CN.md"))
FIRST_CHINESE = ROOT / "docs/index.zh-CN.md"
SHOWN = "192.0.2.10"
PASSWORD = "correct horse battery"
PATIENCE = 600
"""seconds for one command, on a machine that has much else to do"""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_READY = re.compile(r"<(\d+) ready> $")
_NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__", "*.egg-info")


def blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """What somebody does who follows the page: types a command here or on the host (`#`), edits mail.yaml, or sees
    what was said (`…` is left out)."""
    for kind, body in blocks(page):
        if kind in ("yaml", "text"):
            yield {"yaml": "edit", "text": "said"}[kind], body
        elif kind == "console":
            for line in body.splitlines():
                yield {"$ ": "type", "# ": "there"}[line[:2]], line[2:]
        else:
            yield from (("type", line) for line in re.findall(r"(?:.*\\\n)*.+", body))


def test_both_languages_have_the_same_steps() -> None:
    assert blocks(PAGE) == blocks(CHINESE)
    assert {kind for kind, _ in blocks(PAGE)} == {"console", "sh", "text", "yaml"}
    pages = [page.read_text(encoding="utf-8") for page in (PAGE, CHINESE)]
    for pattern in (r"^## ", r"^- ", r"`mailprov [^`]+`"):
        assert len({len(re.findall(pattern, page, re.M)) for page in pages}) == 1, pattern


def test_the_first_page_leads_there_at_once() -> None:
    for first, page in ((FIRST, PAGE), (FIRST_CHINESE, CHINESE)):
        begin = re.split(r"^## ", first.read_text(encoding="utf-8"), flags=re.M)[1]
        assert re.findall(r"\]\(([^)]+)\)", begin)[0] == page.name


class Terminal:
    """A shell at a terminal, in a home of its own, and somebody who answers it."""

    def __init__(self, home: Path, start: Path) -> None:
        self.said = ""
        self._terminal, slave = pty.openpty()
        termios.tcsetwinsize(slave, (50, 160))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL", "SSH_"))}
        # pip's settings and what it has fetched are this machine's.
        real = Path.home()
        own = {
            "HOME": str(home),
            "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(real / ".config")),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(real / ".cache")),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PS1": r"<$? ready> ",
            "TERM": "dumb",
            "no_proxy": "*",
        }
        self._process = subprocess.Popen(
            ("setsid", "--ctty", "bash", "--noprofile", "--norc", "--noediting", "-i"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=start,
            env=kept | own,
        )
        os.close(slave)
        self._until_ready()

    def type(self, command: str) -> str:
        """What is said until the shell is ready again: its status is 0."""
        self._send(command)
        if command.startswith("read -rs"):
            self._send(PASSWORD)
        said, status = self._until_ready()
        assert status == 0, f"{command}: {status}\n{said}"
        return said

    def close(self) -> None:
        os.close(self._terminal)
        self._process.wait(60)

    def _send(self, line: str) -> None:
        os.write(self._terminal, f"{line}\n".encode())

    def _until_ready(self) -> tuple[str, int]:
        said, end = "", time.monotonic() + PATIENCE
        while (ready := _READY.search(said)) is None:
            assert select.select([self._terminal], [], [], max(0, end - time.monotonic()))[0], f"nothing more: {said}"
            said += os.read(self._terminal, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
            last = said.rpartition("\n")[2]
            if last.endswith("[y/N]: "):
                self._send("y")
                said += "\n"
            elif re.search(r"password for user '\S+':$", last):
                self._send(PASSWORD)
                said += "\n"
        self.said += said
        return said, int(ready[1])


def edited(text: str, part: str) -> str:
    """mail.yaml with one of its keys as the page shows it."""
    key = part.partition("\n")[0]
    found = re.compile(rf"^{re.escape(key)}\n(?:(?: .*)?\n)*", re.M)
    assert len(found.findall(text)) == 1, key
    return found.sub(lambda _: f"{part}\n", text)


def follow(page: Path, host: LabHost, folder: Path) -> Iterator[tuple[str, str]]:
    """Each command of the page, after it was typed, and what was said."""
    home, sources = folder / "home", folder / "mailprov"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    shutil.copy(host.identity_file, home / ".ssh/id_ed25519")
    shutil.copytree(ROOT, sources, ignore=_NOT_COPIED)
    terminal, seen = Terminal(home, sources), ""
    declared = home / "mail/mail.yaml"
    try:
        for kind, body in steps(page):
            body = body.replace(SHOWN, host.address)
            if kind == "edit":
                declared.write_text(edited(declared.read_text(encoding="utf-8"), body), encoding="utf-8")
            elif kind == "there":
                yield f"# {body}", host.run(("sh", "-c", body)).stdout.decode()
            elif kind == "said":
                for line in body.splitlines():
                    pattern = ".*".join(map(re.escape, line.split("…")))
                    assert re.search(rf"^{pattern} *$", seen, re.M), f"{line}\n{seen}"
                seen = ""
            else:
                said = terminal.type(body)
                seen += said
                yield body, said
    finally:
        terminal.close()
    assert PASSWORD not in re.sub(r"read -rs.*?ready> ", "", terminal.said, flags=re.S)


@pytest.mark.host
@pytest.mark.one_release
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("release", ["bullseye", "bookworm", "trixie"])
def test_a_newcomer_follows_the_page(release: str, tmp_path: Path) -> None:
    with Lab() as lab:
        host = lab.boot("mail1", release)
        told: dict[str, list[str]] = {}
        for command, said in follow(PAGE, host, tmp_path):
            told.setdefault(command, []).append(said)
            print(f"{command}\n{said}")
        # The fingerprint that was shown, and agreed to, is that of the host's console.
        (console,) = (said for command, said in told.items() if command.startswith("# ssh-keygen"))
        assert console[0].split()[1] in told["mailprov trust mail1"][0]
        # The letter has arrived, under an alias, and is there after the roll-back, too.
        fetched = next(said for command, said in told.items() if "pop3s://" in command)
        assert len(fetched) == 2
        for letter in fetched:
            assert "Subject: First letter" in letter and "It works." in letter
        # The first plan has all of it, the second one Bob, the last one nothing.
        first, second, last = told["mailprov plan"]
        assert "dovecot-imapd" in first and "bob" not in first
        assert "1 added" in second and "dovecot-imapd" not in second
        assert "no changes" in last.lower()
        assert "bob@example.com" in told["mailprov handout list"][0]
        assert b"alice@example.com" in (rows := host.read("/etc/dovecot/mailprov/accounts")) and b"bob" not in rows
