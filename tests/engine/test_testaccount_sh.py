"""The verification's account removes its own mail, and nobody else's; and comes only where somebody waits for it."""

from __future__ import annotations

import fcntl
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


def test_whoever_waits_for_an_apply_hears_of_it_and_where_nobody_listens_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("20260101T000000Z-abcdef\n")
    (tmp_path / "holder").write_text("root@vm apply\n")
    text = (PACKAGE / "engine/test_account.sh").read_text(encoding="utf-8")
    text = text.replace("/var/lib/mailprov", str(tmp_path)).replace("flock -w 5", "flock -w 1")
    script = f"set -- nothing\n{text}\nafter_others\n: >{tmp_path}/made"

    def waiting() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["dash", "-c", script], stdout=subprocess.PIPE)

    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        gone, listens = waiting(), waiting()
        assert gone.stdout and listens.stdout
        gone.stdout.close()
        assert listens.stdout.readline() == b"an apply is at work\n"
        assert gone.wait(10) != 0
        assert not (tmp_path / "made").exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert listens.wait(10) == 0
        listens.stdout.close()
    assert (tmp_path / "made").exists()
