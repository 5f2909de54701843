"""A Git work tree with a declaration and its secrets, and who types there."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from age_tools import person

from mailprov.commands import run
from mailprov.encrypted import age
from mailprov.model import Secret

CANARY = "canary-5ecret battery"
DECLARED = """\
mailprov: 1
hosts:
  mail1: {address: 192.0.2.10, hostname: mx.example.com, ssh: {user: it}, become: true, become_password: {age: TODO}}
domains: [example.com]
users:
  - address: postmaster@example.com
    password:
      initial:
        age: TODO   # theirs
  - {address: b@example.com, password: {initial: {age: {file: secrets/b.age}}}}
tls: {self_signed: {}}
services: {imap: true}
"""
Ran = subprocess.CompletedProcess[str]


class Repository:
    """A Git work tree, a home folder beside it, and who types there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "repo", folder / "home"
        for each in (self.folder / ".git", self.home):
            each.mkdir(parents=True)
        self.mail, self.recipients = self.folder / "mail.yaml", self.folder / ".age-recipients"
        self.identity = self.home / ".config/mailprov/age.txt"

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return kept | {"HOME": str(self.home), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more

    def typed(self, *words: str, stdin: str | bytes = b"", **more: str) -> Ran:
        """In a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "mailprov", *words],
            cwd=self.folder,
            env=self.environ(**more),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=120,
        )
        return Ran(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def __call__(self, *words: str, stdin: str | bytes = b"", **more: str) -> Ran:
        """In this process, which is faster."""
        given = io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin), encoding="utf-8")
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environ(**more), clear=True),
            patch.object(sys, "stdin", given),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = run(list(words))
        return Ran(words, status, out.getvalue(), err.getvalue())

    def me(self) -> age.Identity:
        return age.identity(Secret(self.identity.read_text()), "me")

    def tree(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }

    def begin(self) -> Repository:
        """Have an identity, its recipient, and DECLARED."""
        who = person()
        who.write(self.identity)
        self.recipients.write_text(f"# me\n{who.recipient}\n")
        self.mail.write_text(DECLARED)
        return self


def failed(done: Ran, code: int, *told: str) -> str:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("Error: ") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for words in told:
        assert words in done.stderr, done.stderr
    assert "to do: " in done.stderr, done.stderr
    return done.stderr
