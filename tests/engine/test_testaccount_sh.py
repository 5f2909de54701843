"""The verification's account removes its own mail, and nobody else's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from shell_sandbox import PACKAGE


def removed(tmp_path: Path, *addresses: str) -> list[str]:
    """What is missing of a mail store after remove_mail of each address."""
    store = tmp_path / "vmail"
    homes = [
        "example.com/alice",
        "example.com/mailprov-test-0a1b",
        "example.com/mailprov-test-",
        "example.com/mailprov-testy",
    ]
    for home in (*homes, "other.example/bob"):
        (store / home).mkdir(parents=True)
        (store / home / "mail").write_text("mail\n")
    text = (PACKAGE / "engine/test_account.sh").read_text(encoding="utf-8").replace("/var/vmail", str(store))
    script = f"set -- nothing\n{text}\nshift $#\n" + "".join(f"remove_mail '{address}'\n" for address in addresses)
    subprocess.run(["dash", "-c", script], check=True, capture_output=True)
    return [home for home in (*homes, "other.example/bob") if not (store / home / "mail").exists()]


def test_its_own_mail_goes(tmp_path: Path) -> None:
    assert removed(tmp_path, "mailprov-test-0a1b@example.com") == ["example.com/mailprov-test-0a1b"]


@pytest.mark.parametrize(
    "address",
    [
        *("alice@example.com", "mailprov-test-@example.com", "mailprov-testy@example.com", "", "@", "@example.com"),
        *("mailprov-test-0a1b/../alice@example.com", "mailprov-test-../../other.example@example.com"),
        *(
            "mailprov-test-0a1b@example.com/../other.example",
            "mailprov-test-a@..",
            "mailprov-test-a@",
            "mailprov-test-*@*",
        ),
        *("mailprov-test-a@.", "mailprov-test-0A1B@example.com", "mailprov-test-a b@example.com"),
    ],
)
def test_nothing_else_goes(tmp_path: Path, address: str) -> None:
    assert removed(tmp_path, address) == []
