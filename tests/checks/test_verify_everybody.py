"""Everybody logs in, politely; and how that is told."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from verify_minimail import MiniMail
from verify_servers import NOW, Identity, identity

from mailprov.checks import Account, Cause, Trust
from mailprov.checks.all_users import AT_ONCE, REFUSALS, everybody
from mailprov.model import Secret
from mailprov.report import junit, logins
from mailprov.report.logins import LoginReport

BOTH = frozenset({"pop3", "imap"})


class Town(MiniMail):
    """A server of many mailboxes, each with the password "pw of ADDRESS"; `wrong` ones have changed theirs."""

    def __init__(self, *words: object) -> None:
        super().__init__(*words)  # type: ignore[arg-type]
        self.wrong: set[str] = set()
        self.tries: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self.most = 0

    def _plain(self, response: str) -> bool:
        _, user, password = base64.b64decode(response).decode().split("\0")
        with self.lock:
            self.tries[user] += 1
            self.now[user] += 1
            self.most = max(self.most, len(+self.now))
            assert self.now[user] == 1, "one login of an account at a time"
        time.sleep(0.02)
        with self.lock:
            self.now[user] -= 1
        return user not in self.wrong and password == f"pw of {user}"


@pytest.fixture
def town(good: Identity, tmp_path: Path) -> Town:
    return Town(good.context(tmp_path))


def people(count: int, protocols: frozenset[str] = BOTH) -> list[Account]:
    names = [f"user{n:03}@example.com" for n in range(count)]
    return [Account(name, Secret(f"pw of {name}"), protocols) for name in names]


def manners(serve, town: Town):  # type: ignore[no-untyped-def]
    ways = [("pop3", "starttls"), ("pop3", "tls"), ("imap", "tls"), ("smtp", "starttls")]
    return [serve(town.script(protocol, mode), protocol, mode)[0] for protocol, mode in ways]


def test_each_logs_in_once_by_each_protocol(serve, town: Town, roots: Path) -> None:
    ends = manners(serve, town)
    accounts = [*people(30), Account("only@example.com", Secret("pw of only@example.com"), frozenset({"imap"}))]
    seen: list[str] = []
    lock = threading.Lock()

    def tell(login: logins.Login) -> None:
        assert lock.acquire(blocking=False), "one at a time"
        seen.append(login.address)
        lock.release()

    found = everybody(ends, Trust(roots=roots), accounts, now=NOW, on_login=tell)
    assert all(login.check.ok for login in found)
    names = [account.address for account in accounts for _ in account.protocols]
    assert [login.address for login in found] == names
    assert Counter(seen) == town.tries == Counter({name.address: len(name.protocols) for name in accounts})
    # POP3 by the port that is TLS from the first byte, and nobody by port 25
    assert {(it.check.endpoint.protocol, it.check.endpoint.mode) for it in found} == {("pop3", "tls"), ("imap", "tls")}
    assert 1 < town.most <= AT_ONCE
    roll = LoginReport("mail1", found, {"off@example.com": "may not log in"})
    assert (roll.well, roll.total, roll.failed) == (31, 32, False)
    assert logins.table(roll)[-1].text.startswith("  31 of 32 log in, each by pop3 ")


def test_a_refused_password_is_sent_once(serve, town: Town, roots: Path) -> None:
    town.wrong = {"user001@example.com"}
    found = everybody(manners(serve, town), Trust(roots=roots), people(4), now=NOW)
    assert town.tries == {f"user{n:03}@example.com": 1 if n == 1 else 2 for n in range(4)}
    causes = [login.check.cause for login in found if login.address == "user001@example.com"]
    assert causes == [Cause.LOGIN_REFUSED, Cause.NOT_TESTED]
    roll = LoginReport("mail1", found, {})
    assert (roll.well, roll.total, roll.failed) == (3, 4, True)
    lines = [line.text for line in logins.table(roll)]
    assert "user001@example.com  pop3 failed  imap not tried" in lines[0] and lines[-1].startswith("  3 of 4 log in")
    assert len(logins.table(roll, details=True)) == len(lines) + 3


def test_many_refusals_end_it(serve, town: Town, roots: Path) -> None:
    accounts = people(60)
    town.wrong = {account.address for account in accounts}
    found = everybody(manners(serve, town), Trust(roots=roots), accounts, now=NOW)
    assert REFUSALS <= sum(town.tries.values()) < REFUSALS + AT_ONCE
    assert max(town.tries.values()) == 1
    assert "would look like an attack" in found[-1].check.detail and len(found) == 120


def test_no_password_goes_where_the_certificate_is_wrong(serve, tmp_path: Path, roots: Path) -> None:
    town = Town(identity().context(tmp_path))
    found = everybody(manners(serve, town), Trust(roots=roots), people(3), now=NOW)
    assert len(found) == 6 and all(login.check.failed for login in found)
    assert not town.tries


def test_pipelines_can_read_it(serve, town: Town, roots: Path) -> None:
    town.wrong = {"user000@example.com"}
    found = everybody(manners(serve, town), Trust(roots=roots), people(2), now=NOW)
    roll = LoginReport("mail1", found, {"no\x00<b>@example.com": "\x1b[1m & more"})
    (suite,) = ElementTree.fromstring(junit.junit([junit.logged_in(roll)]))  # noqa: S314
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (
        "mail1",
        "5",
        "1",
        "2",
    )
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    port = found[0].check.endpoint.port
    assert kinds[f"user000@example.com pop3 {port}"] == ["failure"] and kinds[f"user001@example.com pop3 {port}"] == []
    assert len(kinds) == 5
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "login-refused"
    told = json.loads(logins.as_json([roll]))
    assert (told["verified"], told["hosts"][0]["well"], told["hosts"][0]["total"]) == (False, 1, 3)
