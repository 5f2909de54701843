"""`verify --deliverability` against a real name server (Debian's NSD) on loopback, and against what is none."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from name_server import NSD, NameServer
from report_schema import require

from mailprov.commands import run
from mailprov.deliverability import RECEIVERS

needs_nsd = pytest.mark.skipif(NSD is None, reason="needs Debian's package nsd (script/setup --test installs it)")

DECLARATION = """\
mailprov: 1
hosts:
  mail1: {address: 198.18.0.10, hostname: mail.example.com}
  mail2: {address: mail.example.net, hostname: mail.example.net}
domains:
  - {name: example.com, hosts: [mail1]}
  - {name: example.net, hosts: [mail2]}
users:
  - {address: postmaster@example.com, password: {initial: {env: P}}}
tls: {self_signed: {}}
services: {pop3: true, imap: {tls: 993}, submission: {tls: 465}, smtp: true}
"""
RIGHT = {
    "example.com": """\
@ IN MX 10 mail
@ IN TXT "v=spf1 mx ~all"
_dmarc IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.com"
_mta-sts IN TXT "v=STSv1; id=20261201T000000"
_smtp._tls IN TXT "v=TLSRPTv1; rua=mailto:postmaster@example.com"
mail IN A 198.18.0.10
mail IN TXT "v=spf1 a -all"
_25._tcp.mail IN TLSA 3 1 1 0d6fce3b5b4a26ad2b6d4ef5b9a7c9d9e8f7a6b5c4d3e2f10123456789abcdef
""",
    "example.net": """\
@ IN MX 10 mail
@ IN TXT "v=spf1 include:_spf -all" ; a name of one label leads nowhere
@ IN TXT "unrelated"
_dmarc IN TXT "v=DMARC1; p=none"
mail IN A 198.18.0.20
mail IN AAAA 2001:db8::20
mail IN TXT "v=spf1 a -all"
_spf IN TXT "v=spf1 ip4:198.18.0.20 ip6:2001:db8::/64 ?all"
""".replace("include:_spf ", "include:_spf.example.net "),
    "0.18.198.in-addr.arpa": "10 IN PTR mail.example.com.\n20 IN PTR mail.example.net.\n",
    "8.b.d.0.1.0.0.2.ip6.arpa": f"0.2.{'0.' * 22}IN PTR mail.example.net.\n".replace(".IN", " IN"),
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mailprov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "mail.yaml").write_text(DECLARATION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str) -> tuple[int, str, str]:
        status = run(["verify", "--deliverability", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return go


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NameServer]:
    (tmp_path / "nsd").mkdir()
    made = NameServer(tmp_path / "nsd")
    made.zones |= RIGHT
    try:
        made.start()
        yield made
    finally:
        made.stop()


def findings(told: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, str]]]:
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for kind in ("host", "domain"):
        for each in told[f"{kind}s"]:
            for finding in each["findings"]:
                found.setdefault((each[kind], finding["about"]), []).append(finding)
    return found


@needs_nsd
def test_right_zones_are_accepted(server: NameServer, mailprov: Run, tmp_path: Path) -> None:
    status, out, err = mailprov("--resolver", server.resolver, "--details")
    assert (status, err) == (0, ""), out
    assert "FAIL" not in out and "DNS gives no answer" not in out
    assert "198.18.0.10 is mail.example.com, which leads back to it" in out
    assert "2001:db8::20 is mail.example.net, which leads back to it" in out
    files = ("--json", "r.json", "--markdown", "r.md", "--junit", "r.xml")
    status, out, err = mailprov("--resolver", server.resolver, *files)
    assert (status, err) == (0, "")
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["accepted"] is True and told["failed"] == []
    standings = {key: {each["standing"] for each in found} for key, found in findings(told).items()}
    assert {key for key, found in standings.items() if found != {"pass"}} == {
        ("example.com", "dkim"),
        ("example.net", "dkim"),
    }
    assert standings["example.com", "tlsa"] == standings["example.com", "mta-sts"] == {"pass"}
    rules = {(rule["receiver"], rule["rule"]): rule for rule in told["domains"][0]["rules"]}
    assert rules["Gmail", "authentication"]["outcome"] == "pass"
    assert rules["Gmail", "TLS"]["outcome"] == "untold"
    assert (rules["Microsoft", "DKIM of bulk"]["outcome"], rules["Microsoft", "DKIM of bulk"]["bulk"]) == ("fail", True)
    assert {rule["receiver"] for rule in told["domains"][0]["rules"]} == {receiver.name for receiver in RECEIVERS}
    assert "| Gmail | passes |" in (tmp_path / "r.md").read_text(encoding="utf-8")
    assert not etree.parse(tmp_path / "r.xml").getroot().findall(".//failure")


FAULTS = (
    ("example.com", '@ IN TXT "v=spf1 mx ~all"\n', "", ("example.com", "spf"), '"v=spf1 mx ~all"'),
    (
        "example.com",
        '"v=spf1 mx ~all"',
        '"v=spf1 ip4:198.18.0.99 -all"',
        ("example.com", "spf"),
        "ip4:198.18.0.10 -all",
    ),
    ("example.com", "mail IN A 198.18.0.10\n", "", ("mail1", "name"), "mail.example.com. A 198.18.0.10"),
    ("example.com", "@ IN MX 10 mail\n", "@ IN MX 0 .\n", ("example.com", "mx"), "MX 10 mail.example.com."),
    ("example.com", "@ IN MX 10 mail\n", "@ IN MX 10 gone\n", ("example.com", "mx"), "MX 10 mail.example.com."),
    ("0.18.198.in-addr.arpa", "10 IN PTR mail.example.com.\n", "", ("mail1", "reverse"), "PTR mail.example.com."),
    (
        "0.18.198.in-addr.arpa",
        "10 IN PTR mail.example.com.",
        "10 IN PTR mail.example.net.",
        ("mail1", "reverse"),
        "10.0.18.198.in-addr.arpa. PTR mail.example.com.",
    ),
    ("example.net", "include:_spf.example.net", "include:none.example.net", ("example.net", "spf"), ""),
)


@needs_nsd
@pytest.mark.parametrize(("zone", "right", "wrong", "where", "record"), FAULTS)
def test_each_fault_is_named_with_the_record_to_add(
    server: NameServer, mailprov: Run, zone: str, right: str, wrong: str, where: tuple[str, str], record: str
) -> None:
    assert right in server.zones[zone]
    server.zones[zone] = server.zones[zone].replace(right, wrong)
    server.start()
    status, out, err = mailprov("--resolver", server.resolver, "--format", "json")
    assert (status, err) == (9, ""), out
    told = json.loads(out)
    assert told["accepted"] is False
    wrongs = [each for each in findings(told)[where] if each["standing"] == "fail"]
    assert wrongs and record in wrongs[0]["record"] and wrongs[0]["cure"]
    status, out, _ = mailprov("--resolver", server.resolver)
    assert status == 9 and out.split("\n")[1].startswith("  FAIL") and "to do: " in out.split("\n")[2]


@needs_nsd
def test_the_record_that_is_told_makes_it_right(server: NameServer, mailprov: Run) -> None:
    server.zones["example.com"] = server.zones["example.com"].replace('"v=spf1 mx ~all"', '"v=spf1 include:x.net ~all"')
    server.zones["x.net"] = '@ IN TXT "v=spf1 -all"\n'
    server.start()
    status, out, _ = mailprov("--resolver", server.resolver, "--format", "json", "--limit", "mail1")
    assert status == 9
    record = findings(json.loads(out))["example.com", "spf"][0]["record"]
    server.zones["example.com"] = server.zones["example.com"].replace(
        '@ IN TXT "v=spf1 include:x.net ~all"', record.replace(". TXT", ". IN TXT")
    )
    server.start()
    assert mailprov("--resolver", server.resolver, "--limit", "mail1")[0] == 0


@needs_nsd
def test_bulk_rules_alone_fail_nobody_else(server: NameServer, mailprov: Run) -> None:
    server.zones["example.com"] = server.zones["example.com"].replace("_dmarc", "_dmark")
    server.start()
    status, out, _ = mailprov("--resolver", server.resolver, "--format", "json", "--limit", "mail1")
    told = json.loads(out)
    assert status == 0
    rules = {(rule["receiver"], rule["rule"]): rule for rule in told["domains"][0]["rules"]}
    assert (rules["Gmail", "DMARC"]["outcome"], rules["Gmail", "DMARC"]["because"]) == ("fail", ["dmarc"])
    (dmarc,) = findings(told)["example.com", "dmarc"]
    assert dmarc["record"] == '_dmarc.example.com. TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.com"'


@needs_nsd
def test_a_process_asks_nobody_but_the_resolver(server: NameServer, mailprov: Run, tmp_path: Path) -> None:
    """The declared addresses (RFC 2544) lead nowhere, and no SSH is loaded."""
    words = ["verify", "--deliverability", "--resolver", server.resolver, "--format", "json"]
    loaded = "import sys; from mailprov.commands import run; status = run(sys.argv[1:]); "
    ended = "sys.exit(status or ('paramiko' in sys.modules) * 99)"
    done = subprocess.run(
        [sys.executable, "-c", loaded + ended, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    require(json.loads(done.stdout))


SIGNED = DECLARATION.replace("address: 198.18.0.10,", "address: 127.0.0.1, ssh: {port: 1, user: root},").replace(
    "hosts: [mail1]}", "hosts: [mail1], sign: true}"
)


@needs_nsd
def test_a_host_that_cannot_be_asked_for_its_keys_is_one_finding(
    server: NameServer, mailprov: Run, tmp_path: Path
) -> None:
    (tmp_path / "mail.yaml").write_text(SIGNED, encoding="utf-8")
    status, out, err = mailprov("--resolver", server.resolver)
    assert (status, err) == (0, ""), out
    assert "  not told  whether mail1 signs mail from example.com with keys that DNS has: its keys are not known" in out
    assert "(the connection was refused)" in out
    assert "            to do: run this where the host can be asked" in out
    status, out, err = mailprov("--resolver", server.resolver, "--format", "json")
    told = json.loads(out)
    require(told)
    assert (status, err, told["accepted"], told["failed"]) == (0, "", True, [])
    standings = {key: {each["standing"] for each in found} for key, found in findings(told).items()}
    assert {key: found for key, found in standings.items() if found != {"pass"}} == {
        ("example.com", "dkim"): {"untold"},
        ("example.net", "dkim"): {"warning"},
    }
    server.zones["example.com"] = server.zones["example.com"].replace("ip4:", "ip6:").replace("v=spf1 mx", "v=spf1")
    server.start()
    assert mailprov("--resolver", server.resolver)[0] == 9, "what DNS says of the rest is told as before"


@needs_nsd
def test_the_secret_of_a_host_is_read_where_it_is_asked(server: NameServer, mailprov: Run, tmp_path: Path) -> None:
    wanting = "become: true, become_password: {env: NO_SUDO}, address: 127.0.0.1, ssh: {port: 1, user: admin},"
    unset = "the environment variable NO_SUDO is not set"
    text = DECLARATION.replace("address: 198.18.0.10,", wanting)
    (tmp_path / "mail.yaml").write_text(text, encoding="utf-8")
    status, out, err = mailprov("--resolver", server.resolver)
    assert (status, f"{unset}; it is not needed now" in err, unset in out) == (0, True, False)
    (tmp_path / "mail.yaml").write_text(
        text.replace("hosts: [mail1]}", "hosts: [mail1], sign: true}"), encoding="utf-8"
    )
    status, out, err = mailprov("--resolver", server.resolver)
    assert (status, err, f"its keys are not known here ({unset})" in out) == (0, "", True)


@needs_nsd
def test_limit_looks_at_one_host(server: NameServer, mailprov: Run) -> None:
    _, out, _ = mailprov("--resolver", server.resolver, "--limit", "mail2", "--format", "json")
    told = json.loads(out)
    assert [host["host"] for host in told["hosts"]] == ["mail2"]
    assert [domain["domain"] for domain in told["domains"]] == ["example.net"]
    assert told["hosts"][0]["addresses"] == ["198.18.0.20", "2001:db8::20"]


@needs_nsd
def test_a_zone_that_is_not_answered_is_an_error_and_no_verdict(server: NameServer, mailprov: Run) -> None:
    del server.zones["example.net"]
    server.start()
    status, out, err = mailprov("--resolver", server.resolver)
    assert (status, "FAIL" in out) == (7, False), out
    assert "mail2: DNS gives no answer" in err and "REFUSED" in err
    status, out, err = mailprov("--resolver", server.resolver, "--limit", "mail2", "--format", "json")
    told = json.loads(out)
    assert (status, told["accepted"]) == (1, False)
    assert told["failed"][0]["host"] == "mail2"


RELAYED = DECLARATION.replace(
    "smtp: true}\n",
    "smtp: true}\noutgoing:\n  relay: {host: smtp.relay.example, user: me, password: {env: R}}\n",
)


@needs_nsd
def test_through_a_relay_what_can_be_told_is(server: NameServer, mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_text(RELAYED, encoding="utf-8")
    server.zones["relay.example"] = 'smtp IN A 198.18.0.77\n_spf IN TXT "v=spf1 ip4:198.18.0.64/27 -all"\n'
    server.start()
    arguments = ("--limit", "mail1", "--format", "json", "--resolver")
    status, out, _ = mailprov(*arguments, server.resolver)
    assert status == 9
    told = json.loads(out)
    found = findings(told)
    assert (told["hosts"][0]["relays"], told["hosts"][0]["addresses"]) == (["smtp.relay.example"], [])
    (spf,) = found["example.com", "spf"]
    assert spf["standing"] == "fail" and "ip4:198.18.0.77" in spf["record"]
    assert found["mail1", "relay"][0]["standing"] == found["example.com", "dkim"][0]["standing"] == "untold"
    assert ("mail1", "reverse") not in found
    for record, standing in (("include:_spf.relay.example", "pass"), ("include:_spf.example.net", "untold")):
        server.zones["example.com"] = RIGHT["example.com"].replace("v=spf1 mx", f"v=spf1 mx {record}")
        server.start()
        status, out, _ = mailprov(*arguments, server.resolver)
        assert (status, findings(json.loads(out))["example.com", "spf"][0]["standing"]) == (0, standing), out


@needs_nsd
def test_hostile_zones_steer_no_terminal(server: NameServer, mailprov: Run) -> None:
    evil = r'"v=spf1 \027[2J\010 include:\155\255 a:' + "x" * 200 + '.com -all"'
    server.zones["example.com"] = server.zones["example.com"].replace('"v=spf1 mx ~all"', evil)
    server.zones["example.com"] += r"_dmarc IN TXT " + r'"v=DMARC1; p=\027[31m"' + "\n"
    server.zones["0.18.198.in-addr.arpa"] = r"10 IN PTR ev\027[2Jil\.name.example." + "\n"
    server.start()
    for form in ("text", "json", "markdown"):
        status, out, err = mailprov("--resolver", server.resolver, "--format", form, "--limit", "mail1")
        assert (status, "\x1b" in out + err) == (9, False)


# --- who is no name server


def lying(answer: Callable[[bytes], bytes | None]) -> tuple[socket.socket, str]:
    """A UDP server that says something to each question."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                data, peer = server.recvfrom(4096)
                if (made := answer(data)) is not None:
                    server.sendto(made, peer)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    return server, f"127.0.0.1:{server.getsockname()[1]}"


LIES: dict[str, Callable[[bytes], bytes | None]] = {
    "nothing": lambda data: None,
    "garbage": lambda data: b"\xff" * 40,
    "the question": lambda data: data,
    "cut": lambda data: data[:2] + b"\x81\x80" + data[4:14],
    "counts": lambda data: data[:2] + b"\x81\x80\x00\x01\xff\xff\x00\x00\x00\x00" + data[12:],
    "a loop": lambda data: data[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + b"\xc0\x0c" * 20,
    "refused": lambda data: data[:2] + b"\x81\x85" + data[4:],
}


@pytest.mark.parametrize("lie", LIES)
def test_who_lies_or_says_nothing_is_no_verdict(lie: str, mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailprov.dns.resolver.SECONDS", 0.5)
    server, resolver = lying(LIES[lie])
    with server:
        status, out, err = mailprov("--resolver", resolver, "--limit", "mail1", "--format", "json")
        assert (status, json.loads(out)["accepted"]) == (1, False)
        assert "DNS gives no answer" in err and "Traceback" not in err
        assert mailprov("--resolver", resolver)[0] == 7


def test_huge_answers_are_borne(mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked, 200 records of 255 bytes: over UDP, which nothing but this test's size limits."""

    def flood(data: bytes) -> bytes:
        import dns.message
        import dns.rrset

        asked = dns.message.from_wire(data)
        reply = dns.message.make_response(asked)
        question = asked.question[0]
        kind = {1: "A", 15: "MX", 12: "PTR", 28: "AAAA"}.get(question.rdtype, "TXT")
        texts = {
            "A": [f"198.18.{n // 250}.{n % 250}" for n in range(900)],
            "AAAA": [f"2001:db8::{n:x}" for n in range(900)],
            "MX": [f"{n} mx{n}.example.com." for n in range(900)],
            "PTR": [f"n{n}.example.com." for n in range(900)],
            "TXT": [f'"v=spf1 {"include:a.example.com " * 9}{n}"' for n in range(100)],
        }[kind]
        if kind != "TXT" or question.rdtype == 16:
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, texts))
        reply.use_edns(0, payload=65535)
        return reply.to_wire(max_size=65000)

    server, resolver = lying(flood)
    with server:
        status, out, err = mailprov("--resolver", resolver, "--limit", "mail1", "--format", "json")
    assert status == 9 and "Traceback" not in err
    told = json.loads(out)
    assert len(out) < 100_000
    assert "100 SPF records" in findings(told)["example.com", "spf"][0]["what"]


# --- options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "postmaster@example.com"), "goes without --user"),
        (("--all-users",), "goes without --all-users"),
        (("--no-login",), "goes without --no-login"),
        (("--all-users", "--no-login"), "--all-users and --no-login"),
        (("--resolver", "localhost"), "is no resolver"),
        (("--limit", "mail9"), "mail9"),
        (("--confined",), "--confined refuses"),
    ],
)
def test_wrong_options_for_deliverability(mailprov: Run, arguments: tuple[str, ...], said: str) -> None:
    status, out, err = mailprov(*arguments)
    assert (status, out, said in err) == (1, "", True), err


def test_a_resolver_is_for_deliverability(mailprov: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--resolver", "127.0.0.1"]) == 1
    assert "add --deliverability" in capsys.readouterr().err
