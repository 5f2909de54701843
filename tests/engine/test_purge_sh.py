"""Only the mail of accounts that are closed can be deleted, whatever their names are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from shell_sandbox import PACKAGE, me


@pytest.mark.parametrize(
    ("address", "deletable"),
    [
        ("gone@example.com", True),
        ("alice@example.com", False),
        ("never@example.com", False),
        *((name, False) for name in ("", "@", "@example.com", "gone@", "..@example.com", ".@example.com", "gone@..")),
        *((name, False) for name in ("../other/gone@example.com", "gone@../vmail/example.com", "gone@x@example.com")),
        ("gone@linked.example", False),
        ("no-mailbox@example.com", False),
        ("al.ce@example.com", False),
    ],
)
def test_what_counts_as_closed(tmp_path: Path, address: str, deletable: bool) -> None:
    store = tmp_path / "vmail"
    for home in ("example.com/gone", "example.com/alice", "other/gone"):
        (store / home / "Maildir/cur").mkdir(parents=True)
    (store / "example.com/no-mailbox").mkdir()
    (store / "linked.example").symlink_to(store / "example.com")
    (tmp_path / "accounts").write_text("alice@example.com:{SHA512-CRYPT}x::::::\n")
    parts = ("resources/accounts/store.sh", "resources/accounts/query.sh", "workflows/purge.sh")
    text = "\n".join((PACKAGE / part).read_text(encoding="utf-8").partition("\n[ -f ")[0] for part in parts)
    text = text.replace("= vmail ]", f"= {me()[0]} ]")
    text = text.replace("/var/vmail", str(store)).replace("/etc/dovecot/mailprov/accounts", str(tmp_path / "accounts"))
    done = subprocess.run(["dash", "-c", f'{text}\nclosed "$1"', "sh", address], check=False)
    assert done.returncode == (0 if deletable else 1)
