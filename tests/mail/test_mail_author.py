"""Who submits a message is its author, wherever rspamd runs: From: is an address of theirs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from mail_clients import arrives, outsider, send, submission
from mail_machine import ALICE, CAROL, CHINESE, DAVE, LI, PASSWORDS, Converged, Machine, eventually

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

CEO = "ceo@example.test"
REST = b"To: x@example.test\r\nSubject: %s\r\n\r\nA message.\r\n"
NOT_ONE = f"From: has to be one address, no list, no group, as in From: Name <{ALICE}>"


@pytest.fixture(scope="module")
def signing(converged: Converged, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A host whose mail rspamd sees."""
    host = converged.lab.boot("authors", layer=converged.layer)
    mail = Machine(host, tmp_path_factory.mktemp("authors") / "mail", converged.mail.ca, converged.mail.shown)
    mail.declared["domains"][0] = {"name": "example.test", "sign": True}
    mail.environment["ALICE_PASSWORD"] = PASSWORDS[ALICE]
    applied = mail.apply()
    assert applied.status == 0, applied.said
    yield mail
    converged.lab.discard(host)


def answer(mail: Machine, user: str, headers: bytes, sender: str | None = None, to: str = ALICE) -> tuple[int, str]:
    """What a user is told who submits a message with these headers."""
    with submission(mail, user) as client:
        assert client.mail(user if sender is None else sender)[0] == 250
        assert client.rcpt(to)[0] == 250
        code, said = client.data(headers + REST % secrets.token_hex(8).encode())
        return code, said.decode()


def by(author: str) -> bytes:
    return f"From: {author}\r\n".encode()


def refused(words: str) -> tuple[int, str]:
    return 554, f"5.7.1 {words}"


@pytest.mark.parametrize(
    "author",
    [
        ALICE,
        f"<{ALICE}>",
        "sales@example.test",
        "team@example.test",
        "alice+shop@example.test",
        "Sales <SALES+Shop@Example.TEST>",
        f'"Alice, of \\"sales\\"" <{ALICE}>',
        f'"{CEO}" <{ALICE}>',
        f'"The CEO <{CEO}>" <{ALICE}>',
        f"=?utf-8?q?Al=C3=AFce?= =?utf-8?b?PGNlb0BleGFtcGxlLnRlc3Q+?= <{ALICE}>",
        f"Alïce 例 <{ALICE}>",
        f"{ALICE} <{ALICE}>",
        f"{ALICE} (Alice (of \\) sales), {CEO})",
        f"Alice\r\n <{ALICE}>",
    ],
)
def test_own_addresses(signing: Machine, author: str) -> None:
    """Their own, an alias that leads to them, with a tag; whatever is written beside it."""
    assert answer(signing, ALICE, by(author))[0] == 250


def test_own_domain_in_ones_own_script(signing: Machine) -> None:
    """An internationalised domain (RFC 5890) as A-label and as U-label."""
    for domain in (CHINESE, CHINESE.upper(), "例子.公司"):
        assert answer(signing, LI, by(f"李 <li+a@{domain}>"))[0] == 250
    other = refused(f"From: alice@{CHINESE} is not an address of {ALICE}")
    assert answer(signing, ALICE, by("alice@例子.公司")) == other


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (by(CEO), f"From: {CEO} is not an address of {ALICE}"),
        (by(f"Alice <{DAVE}>"), f"From: {DAVE} is not an address of {ALICE}"),
        (by(f'"{ALICE}" <CEO+{ALICE}>'), f"From: {CEO} is not an address of {ALICE}"),
        (by("everyone@other.test"), f"From: everyone@other.test is not an address of {ALICE}"),
        (by("x%s%n@example.test"), f"From: x?s?n@example.test is not an address of {ALICE}"),
        (by(CEO) + b"Resent-From: alice@example.test\r\n", f"From: {CEO} is not an address of {ALICE}"),
        (by(ALICE) + b"Sender: ceo@example.test\r\n", f"Sender: {CEO} is not an address of {ALICE}"),
        (b"", "A message has one From: header (RFC 5322 3.6), this one has 0"),
        (by(ALICE) + by(CEO), "A message has one From: header (RFC 5322 3.6), this one has 2"),
        (by(ALICE) + by(ALICE), "A message has one From: header (RFC 5322 3.6), this one has 2"),
        (by(ALICE) + b"FROM\t : ceo@example.test\r\n", "A message has one From: header (RFC 5322 3.6), this one has 2"),
        (
            b"Bcc: x@example.test\r\nFrom : ceo@example.test\r\n" + by(ALICE),
            "A message has one From: header (RFC 5322 3.6), this one has 2",
        ),
        (
            by(ALICE) + b"X-A: a\r\r\r\nFrom: ceo@example.test\r\n",
            "A message has one From: header (RFC 5322 3.6), this one has 2",
        ),
        (by(f"{ALICE}, {CEO}"), NOT_ONE),
        (by(f"<{ALICE}> <{CEO}>"), NOT_ONE),
        (by(f"{CEO} <{ALICE}>"), NOT_ONE),
        (by(f"Team: {ALICE};"), NOT_ONE),
        (by("Team:;"), NOT_ONE),
        (by(""), NOT_ONE),
        (by("alice"), NOT_ONE),
        (by(f"<@elsewhere.test:{ALICE}>"), NOT_ONE),
        (by("alice @ example . test"), NOT_ONE),
        (by(f'"Alice <{ALICE}>'), NOT_ONE),
        (by(f"Alice ({ALICE}"), NOT_ONE),
        (by(f"{ALICE}\rX: y"), NOT_ONE),
        (by("\0"), NOT_ONE),
    ],
)
def test_no_other_author(signing: Machine, headers: bytes, words: str) -> None:
    """Somebody else's address, none, several, or what two readers could take for two."""
    assert answer(signing, ALICE, headers) == refused(words)


@pytest.mark.parametrize(
    "headers",
    [
        by("a" * 2**20),
        by(", ".join(f"a{number}@example.test" for number in range(50_000))),
        by(",\r\n ".join(f"a{number}@example.test" for number in range(50_000))),
        by(ALICE) * 40_000,
        by("<" + " \r\n " * 900 + "x"),
        by("(" * 1900),
        by("a." * 900),
        by(ALICE) + (b"X: " + b"a" * 900 + b"\r\n") * 2_000 + by(CEO),
    ],
)
def test_what_is_huge_is_refused_at_once(signing: Machine, headers: bytes) -> None:
    assert answer(signing, ALICE, headers)[0] == 554
    took = signing.sh(
        "journalctl -q -o cat -u rspamd -n 20 | sed -n 's/.* time: \\([0-9]*\\)[.0-9]*ms.*/\\1/p' | tail -n 1"
    )
    assert int(took) < 3000
    assert answer(signing, ALICE, by(ALICE) + b"X: " + b"\r" * 2**19 + b"a" * 2**18 + b"\r\n")[0] == 250


def test_without_a_sender(signing: Machine) -> None:
    """A receipt (RFC 8098) is sent by <>; its author is looked at all the same."""
    assert answer(signing, ALICE, by("Sales <sales@example.test>"), "")[0] == 250
    assert answer(signing, ALICE, by(CEO), "") == refused(f"From: {CEO} is not an address of {ALICE}")


def test_who_gets_all_other_mail_may_not_write_as_anybody(signing: Machine) -> None:
    """As Postfix has it of the sender."""
    words = f"From: anybody@other.test is not an address of {DAVE}"
    assert answer(signing, DAVE, by("anybody@other.test")) == refused(words)
    with submission(signing, DAVE) as client:
        client.mail("anybody@other.test")
        assert client.rcpt(ALICE)[0] == 553


def test_a_new_alias_at_once(signing: Machine) -> None:
    """rspamd goes on as it is."""
    which = "systemctl show -p MainPID -p ActiveEnterTimestampMonotonic rspamd"
    assert answer(signing, CAROL, by("new@other.test"))[0] == 554
    signing.user(CAROL)["aliases"] = ["new@other.test"]
    before = signing.sh(which), signing.reloads()
    assert signing.apply().status == 0
    assert answer(signing, CAROL, by("New <new@other.test>"))[0] == 250
    assert (signing.sh(which), signing.reloads()) == before


def test_others_are_not_asked(signing: Machine) -> None:
    """Other servers write as whom they like, and who is on the host, too; what is declared goes on working."""
    with outsider(signing) as client:
        client.sendmail("list@elsewhere.test", [ALICE], by(ALICE) + REST % b"from a list")
        client.sendmail("", [ALICE], REST % b"from nobody")
    signing.sh('printf "From: ceo@example.test\\nSubject: from root\\n\\nx\\n" | sendmail -f root alice@example.test')
    for subject in ("from a list", "from nobody", "from root"):
        assert arrives(signing, ALICE, subject)
    assert arrives(signing, ALICE, send(signing, ALICE, ALICE, sender="sales@example.test"))
    for account in ((), ("--user", ALICE, "--password-env", "ALICE_PASSWORD")):
        verified = signing.mailprov("verify", "--ca", "ca.pem", *account)
        assert verified.status == 0, verified.said


def test_from_a_network(signing: Machine) -> None:
    """Who needs no login writes as the sender, and as nobody else; what servers bring from there is incoming mail."""

    def answer(sender: str, headers: bytes, to: str = "someone@elsewhere.test") -> tuple[int, str]:
        with outsider(signing) as client:
            client.ehlo()
            client.mail(sender)
            assert client.rcpt(to)[0] == 250
            code, said = client.data(headers + REST % b"scanned")
            return code, said.decode()

    here = ip_network(f"{signing.host.place.gateway}/27", strict=False)
    signing.declared["outgoing"] = {"allow_from": ["127.0.0.0/8", "fd00::/9", "10.0.0.0/8", str(here)]}
    applied = signing.apply()
    assert applied.status == 0, applied.said
    signing.sh(f'printf "From: {CEO}\\nSubject: redirected\\n\\nx\\n" | sendmail -f {ALICE} {ALICE}')
    assert arrives(signing, ALICE, "redirected")
    for to in ("someone@elsewhere.test", ALICE):
        assert answer(ALICE, by("Printer <Alice+2@example.test>"), to)[0] == 250
        assert answer(ALICE, by(CEO), to) == refused(f"From: {CEO} is not an address of {ALICE}")
        assert answer(ALICE, by("sales@example.test"), to)[0] == 554
        assert answer(ALICE, b"", to)[0] == 554
    assert answer('"a b"@example.test', by(CEO), ALICE)[0] == 554
    assert answer("list@elsewhere.test", by(ALICE), ALICE)[0] == 250
    assert answer("", b"", ALICE)[0] == 250
    del signing.declared["outgoing"]
    assert signing.apply("--allow-removals").status == 0
    assert answer("", b"", ALICE)[0] == 250


def test_what_cannot_be_looked_at_is_put_off(signing: Machine) -> None:
    signing.sh("chmod 700 /etc/postfix/mailprov")
    try:
        put_off = (451, "4.7.1 The author could not be checked: try again later")
        assert answer(signing, ALICE, by(CEO)) == put_off
        assert answer(signing, ALICE, by("sales@example.test")) == put_off
    finally:
        signing.sh("chmod 750 /etc/postfix/mailprov")
    assert answer(signing, ALICE, by("sales@example.test"))[0] == 250


@pytest.mark.parametrize("broken", ["local x = = 1", "error('no')", "require 'nothing'"])
def test_one_that_does_not_load_is_not_put_there(signing: Machine, broken: str) -> None:
    signing.prelude = (
        "from mailprov.roles import rspamd; given = rspamd.text_file\n"
        "rspamd.text_file = lambda path, text, **more: "
        f"given(path, {broken + chr(10)!r} if path == rspamd.AUTHOR else text, **more)"
    )
    applied = signing.apply()
    signing.prelude = ""
    assert applied.status != 0
    assert "rspamd-author.lua" in applied.said and "nothing that is served was touched" in applied.said, applied.said
    assert answer(signing, ALICE, by(CEO))[0] == 554
    assert eventually(lambda: signing.plan().status == 0)
