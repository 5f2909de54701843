"""A sudo that shows what it reads: the password is masked wherever the host's words are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ssh_servers import declare

from mailprov.connection import sudo
from mailprov.connection.local import LocalHost
from mailprov.errors import MailprovError
from mailprov.model import Secret

PASSWORD = "canary pass'wörd$(id)"


def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, password: str = PASSWORD) -> LocalHost:
    """This machine, whose sudo is a script."""
    fake = tmp_path / "sudo"
    fake.write_text(f"#!/bin/bash\nIFS= read -r first\n{script}\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    spec = replace(declare(become=True, become_password=Secret(password)), address="local")
    return LocalHost(spec, root=False)


PREFIX = 'while [ "$1" != -- ]; do shift; done; shift; '


@pytest.mark.parametrize(
    "script",
    [
        'echo "$first" >&2; exit 1',
        'echo "Sorry, try again: $first" >&2; exit 1',
        'echo "$first"; echo "$first" >&2; exit 1',
        'printf "%s%0299d" "$first" 0 >&2; exit 1',
        'printf "%s%0290d" "$first" 0 >&2; exit 1',
        'printf "canary \\033[0mpass\'w\\033[1mörd\\$(id)" >&2; exit 1',
        'echo "$first" >&2; exec sleep 30',
        'echo "$first" >&2; kill -9 $$',
    ],
)
def test_no_error_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    with pytest.raises(MailprovError) as caught:
        local(tmp_path, monkeypatch, script).run(("true",), timeout=1)
    shown = f"{caught.value} {caught.value.__cause__ or ''}"
    assert "canary" not in shown and "rd$(id)" not in shown, shown


def test_no_output_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    host = local(tmp_path, monkeypatch, f'echo "$first"; echo "note: $first" >&2; {PREFIX} exec "$@"')
    done = host.run(("sh", "-c", "echo well; echo ill >&2; exit 3"), on_line=lines.append)
    assert (done.status, done.stdout, done.stderr, lines) == (3, b"well\n", b"note: <secret>\nill\n", ["well"])


@pytest.mark.parametrize("password", ["sudo", "a", "", "password"])
def test_a_weak_password_does_not_hide_the_cause(password: str) -> None:
    way = sudo.become(Secret(password))
    found = sudo.refusal("mail1", way, 1, b"sudo: a password is required")
    assert found.what == "sudo asks for a password, and none was declared"
