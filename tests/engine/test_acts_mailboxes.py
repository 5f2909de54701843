"""A mailbox's folder moves to another address and back, from wherever it was cut off."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from shell_sandbox import Sandbox

OLD, NEW = "ann@a.test", "bea@b.test"
STEPS = ("move_mailbox", "leave_name")
BACK = {"move_mailbox": "return_mailbox", "leave_name": "take_name"}


class Mail:
    def __init__(self, tmp_path: Path) -> None:
        self.sandbox = Sandbox(tmp_path)
        self.root = tmp_path / "vmail"
        (self.root / "a.test").mkdir(parents=True)
        self.old, self.new = self.root / "a.test/ann", self.root / "b.test/bea"

    def call(self, function: str, *, exchange: bool = True, cut: str = "") -> int:
        """`cut`: a function that is killed when it is called."""
        given = f'VMAIL={self.root}; install() {{ for last; do :; done; mkdir -p -m 700 -- "$last"; }}'
        given += "" if exchange else "; uname() { echo none; }"
        given += f"; {cut}() {{ kill -9 $$; }}" if cut else ""
        return self.sandbox.call(function, "1", OLD, NEW, before=given).returncode

    def fill(self, home: Path, text: str) -> None:
        (home / "Maildir/cur").mkdir(parents=True)
        (home / "Maildir/cur/1").write_text(text)

    def links(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_symlink()]


@pytest.fixture
def mail(tmp_path: Path) -> Mail:
    return Mail(tmp_path)


@pytest.mark.parametrize("exchange", [True, False])
def test_there_by_either_name_and_then_by_one(mail: Mail, exchange: bool) -> None:
    mail.fill(mail.old, "one")
    inode = mail.old.stat().st_ino
    assert mail.call("move_mailbox", exchange=exchange) == 0
    assert mail.new.stat().st_ino == mail.old.stat().st_ino == inode and mail.links() == [mail.old]
    (mail.old / "Maildir/cur/2").write_text("came by the old name")
    assert mail.call("leave_name") == 0
    assert mail.links() == [] and not mail.old.exists()
    assert sorted(path.name for path in (mail.new / "Maildir/cur").iterdir()) == ["1", "2"]


@pytest.mark.parametrize(("done", "cut"), itertools.product((0, 1, 2), ("", "change_places", "on_disk", "lead")))
@pytest.mark.parametrize("exchange", [True, False])
def test_back_from_wherever_it_was_cut_off(mail: Mail, done: int, cut: str, exchange: bool) -> None:
    mail.fill(mail.old, "one")
    inode = mail.old.stat().st_ino
    for step in STEPS[:done]:
        assert mail.call(step, exchange=exchange) == 0
    if cut and done < 2:
        mail.call(STEPS[done], exchange=exchange, cut=cut)
    for step in reversed(STEPS[: done + 1]):
        if cut:
            mail.call(BACK[step], exchange=exchange, cut=cut)
        assert mail.call(BACK[step], exchange=exchange) == 0
    assert mail.old.stat().st_ino == inode and (mail.old / "Maildir/cur/1").read_text() == "one"
    assert mail.links() == [] and not mail.new.exists()


def test_what_came_meanwhile_comes_back_with_it(mail: Mail) -> None:
    """Nobody had a mailbox yet."""
    for step in STEPS:
        assert mail.call(step) == 0
    mail.fill(mail.new, "came")
    for step in reversed(STEPS):
        assert mail.call(BACK[step]) == 0
    assert (mail.old / "Maildir/cur/1").read_text() == "came" and not mail.new.exists() and mail.links() == []


def test_nothing_is_left_where_nothing_was(mail: Mail) -> None:
    for step in (*STEPS, *(BACK[step] for step in reversed(STEPS))):
        assert mail.call(step) == 0
    assert not mail.old.exists() and not mail.new.exists() and mail.links() == []


def test_a_mailbox_that_was_there_stays(mail: Mail) -> None:
    mail.fill(mail.old, "ann's")
    mail.fill(mail.new, "bea's")
    assert mail.call("move_mailbox") != 0 and mail.call("return_mailbox") == 0
    assert [(home / "Maildir/cur/1").read_text() for home in (mail.old, mail.new)] == ["ann's", "bea's"]


def test_what_is_not_mounted_yet_is_waited_for(mail: Mail) -> None:
    mail.fill(mail.old, "one")
    assert mail.call("move_mailbox") == 0
    mail.root.rename(mail.root.with_name("elsewhere"))
    assert mail.call("return_mailbox") != 0
    mail.root.with_name("elsewhere").rename(mail.root)
    assert mail.call("return_mailbox") == 0 and (mail.old / "Maildir/cur/1").read_text() == "one"


def test_a_link_of_an_admins_is_not_moved(mail: Mail, tmp_path: Path) -> None:
    mail.fill(tmp_path / "srv/ann", "one")
    mail.old.symlink_to(tmp_path / "srv/ann")
    assert mail.call("move_mailbox") != 0 and mail.call("return_mailbox") == 0
    assert (mail.old / "Maildir/cur/1").read_text() == "one" and not mail.new.exists()


def test_domains_that_lie_elsewhere(mail: Mail, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (mail.root / "a.test").rename(tmp_path / "srv/a.test")
    (mail.root / "a.test").symlink_to(tmp_path / "srv/a.test")
    mail.fill(mail.old, "one")
    assert mail.call("move_mailbox") == 0
    assert (mail.old / "Maildir/cur/1").read_text() == (mail.new / "Maildir/cur/1").read_text() == "one"
    assert mail.call("leave_name") == 0 and not mail.old.exists()
    assert mail.call("take_name") == 0 and mail.call("return_mailbox") == 0
    assert (mail.old / "Maildir/cur/1").read_text() == "one" and not mail.new.exists()


JSON = (
    '{"queue_name": "deferred", "queue_id": "4F1", "arrival_time": 1, "sender": "%s", "recipients": '
    '[{"address": "x@y.test", "delay_reason": "it said \\"address\\": \\"ann@a.test\\""}, {"address": "%s"}]}'
)


@pytest.mark.parametrize(
    ("sender", "recipient", "waits"),
    [
        ("x@y.test", OLD, True),
        ("x@y.test", "Ann@A.test", True),
        ("x@y.test", "ann+list.x@a.test", True),
        (OLD, "y@z.test", False),
        ("x@y.test", "joann@a.test", False),
        ("x@y.test", "ann@a.test.example", False),
    ],
)
def test_whom_a_message_waits_for(mail: Mail, sender: str, recipient: str, waits: bool) -> None:
    (mail.sandbox.transaction / "new/1").write_text(f"{OLD}\n")
    told = JSON % (sender, recipient)
    given = f"sleep() {{ :; }}; postqueue() {{ [ $1 != -j ] || printf '%s\\n' '{told}'; }}"
    done = mail.sandbox.call("delivered", "1", before=given)
    assert (done.returncode != 0, "4F1" in done.stdout) == (waits, waits), done


@pytest.mark.parametrize(("running", "status"), [(True, 1), (False, 0)])
def test_a_queue_that_does_not_answer_is_not_empty(mail: Mail, running: bool, status: int) -> None:
    given = f"postqueue() {{ return 69; }}; running() {{ {'true' if running else 'false'}; }}"
    assert mail.sandbox.call("delivered", "1", before=given).returncode == status
