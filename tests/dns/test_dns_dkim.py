"""Records of keys that sign mail: which ones are wanted, how those that are there are judged, how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st
from name_server import NSD, NameServer
from report_schema import require
from test_dns_pure import DMARC, SPF, framed, host, spec

from mailprov.commands import dns as command
from mailprov.commands import run
from mailprov.dns import Answer, Keys, Record, Zone, dkim_records, judge, questions, zonefile, zones
from mailprov.dns.resolver import _text
from mailprov.dns.zonefile import quoted
from mailprov.errors import ConnectError
from mailprov.model import Domain, KeyPair, Signing, Spec
from mailprov.model.signing import Use

RSA, ED25519 = f"MIIB{'Ab+/' * 96}IDAQAB", f"{'x9+/' * 10}abc="


def pair(name: str = "mail1-1", use: Use = "signs", domain: str = "example.com") -> KeyPair:
    return KeyPair(domain, name, use, 1, (("rsa", RSA), ("ed25519", ED25519)))


DKIM = dkim_records(pair())[0]


# --- judging


def test_the_two_records_of_a_pair() -> None:
    assert [(record.name, record.kind, record.values) for record in dkim_records(pair())] == [
        ("mail1-1r._domainkey.example.com", "TXT", (f"v=DKIM1; k=rsa; p={RSA}",)),
        ("mail1-1e._domainkey.example.com", "TXT", (f"v=DKIM1; k=ed25519; p={ED25519}",)),
    ]
    assert list(questions(DKIM)) == [(DKIM.name, "TXT")]


@pytest.mark.parametrize(
    ("there", "status", "what"),
    [
        ((f"v=DKIM1; k=rsa; p={RSA}",), "ok", ""),
        ((f"p={RSA}",), "ok", ""),  # v and k may be left out: DKIM1, rsa
        ((f"v=DKIM1;k=rsa;n=ours;t=s;s=*;h=sha256:sha1;p={RSA};",), "ok", ""),
        ((f"  v = DKIM1 ;\tk = rsa ; p = {RSA[:40]}  {RSA[40:90]}\r\n {RSA[90:]} ",), "ok", ""),
        ((f"v=DKIM1; t=y; s=email:x; p={RSA}",), "ok", ""),
        (("google-site-verification=abc", f"v=DKIM1; k=rsa; p={RSA}"), "ok", ""),
        ((), "missing", "nothing is there"),
        (("v=spf1 -all",), "missing", "nothing is there"),
        (("v=DKIM1; k=rsa",), "missing", "nothing is there"),
        ((f"v=DKIM1; k=rsa; P={RSA}",), "missing", "nothing is there"),  # tags are told apart by case
        ((f"v=DKIM1; k=rsa; p={ED25519}",), "different", "another key is there"),
        ((f"v=DKIM1; k=ed25519; p={RSA}",), "different", "another key is there"),
        ((f"v=DKIM1; k=rsa; p={RSA[:-1]}",), "different", "another key is there"),
        ((f"v=DKIM1; k=rsa; p={RSA.swapcase()}",), "different", "another key is there"),
        (("v=DKIM1; k=rsa; p=",), "different", "revoked"),
        (("v=DKIM1; p= ;",), "different", "revoked"),
        ((f"v=DKIM1; p={RSA}",) * 2, "different", "there are 2 of them"),
        ((f"v=DKIM1; p={RSA}", "v=DKIM1; p="), "different", "there are 2 of them"),
        ((f"v=DKIM2; k=rsa; p={RSA}",), "different", "its version is not DKIM1"),
        ((f"v=DKIM1; s=tlsrpt; p={RSA}",), "different", "not for mail"),
        ((f"v=DKIM1; h=sha1; p={RSA}",), "different", "SHA-256"),
    ],
)
def test_a_key_is_there_or_not(there: tuple[str, ...], status: str, what: str) -> None:
    found = judge(DKIM, {(DKIM.name, "TXT"): Answer(there)})
    assert (found.status, what in found.what) == (status, True), found
    assert found.differs is bool(found.what and found.fix) is (status != "ok")


def test_what_is_said_for_ed25519_is_not_rsa() -> None:
    record = dkim_records(pair())[1]
    assert judge(record, {(record.name, "TXT"): Answer((f"k=ed25519; p={ED25519}",))}).status == "ok"
    for there in (f"p={ED25519}", f"v=DKIM1; K=ed25519; p={ED25519}"):
        assert judge(record, {(record.name, "TXT"): Answer((there,))}).status == "different"


@given(
    st.lists(
        st.text(max_size=200) | st.from_regex(r"\A(v=(DKIM1|spf1|DMARC1)[; ])?([a-z]{0,2} ?=? ?[^;]{0,9};?){0,9}\Z")
    )
)
def test_judging_bears_any_texts(texts: list[str]) -> None:
    for record in (DKIM, SPF, DMARC):
        found = judge(record, {(record.name, "TXT"): Answer(tuple(texts))})
        assert found.status in ("ok", "missing", "different")
        assert found.differs is bool(found.fix)


def test_strings_of_255_bytes_are_one_text() -> None:
    """A key of RSA is longer than one string (RFC 6376 §3.6.2.2): they are joined, with nothing between them."""
    (value,) = DKIM.values
    strings = quoted(value)
    assert strings.count('" "') == 1
    parsed = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, strings)
    assert _text(parsed) == value
    for between in ("", " "):  # blanks within a key mean nothing
        parts = f'"{value[:100]}{between}" "{between}{value[100:300]}" "{value[300:]}"'
        there = _text(dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, parts))
        assert judge(DKIM, {(DKIM.name, "TXT"): Answer((there,))}).status == "ok"


# --- which ones are wanted


def signed(*names: str, sign: bool = True) -> Spec:
    hosts = [host(name, hostname=f"{name}.example.com") for name in names or ("mail1",)]
    return spec(
        *hosts, domains=(Domain("example.com", tuple(each.name for each in hosts), sign=Signing() if sign else None),)
    )


def wanted(made: Spec, keys: Keys) -> tuple[list[str], list[str]]:
    """The names of the keys' records, without the domain, and what is noted of keys."""
    (zone,) = zones(made, "", keys)
    records = [record.name.partition("._domainkey.")[0] for record in zone.records if record.dkim]
    return records, [note.removeprefix("DKIM: ") for note in zone.notes if note.startswith("DKIM: ")]


NONE = "mail1 has no keys yet; an apply makes them"
CASES: list[tuple[Sequence[KeyPair] | str, list[str], list[str]]] = [
    ([pair()], ["mail1-1r", "mail1-1e"], []),
    (
        [pair(use="waits")],
        ["mail1-1r", "mail1-1e"],
        ["mail1 signs with mail1-1 once the records are there, from the next apply on"],
    ),
    (
        [pair(), pair("mail1-2", "waits")],
        ["mail1-1r", "mail1-1e", "mail1-2r", "mail1-2e"],
        ["mail1 signs with mail1-2 once the records are there, from the next apply on"],
    ),
    ([pair(use="signed"), pair("mail1-2")], ["mail1-1r", "mail1-1e", "mail1-2r", "mail1-2e"], []),
    (
        [pair(use="retired"), pair("mail1-2")],
        ["mail1-2r", "mail1-2e"],
        [
            "mail1 needs the records mail1-1r._domainkey.example.com, mail1-1e._domainkey.example.com no more: "
            "they can go"
        ],
    ),
    ([], [], [NONE]),
    ([pair(domain="other.example")], [], [NONE]),
    ("it is asleep", [], ["the keys of mail1 are not known here: it is asleep"]),
]


@pytest.mark.parametrize(("keys", "records", "notes"), CASES)
def test_what_is_wanted_of_a_host(keys: Sequence[KeyPair] | str, records: list[str], notes: list[str]) -> None:
    assert wanted(signed(), {"mail1": keys}) == (records, notes)


def test_who_was_not_asked_is_not_said_to_have_no_keys() -> None:
    assert wanted(signed(), {}) == ([], ["the keys of mail1 are not known here: it was not asked"])
    assert wanted(signed(sign=False), {}) == wanted(signed(sign=False), {"mail1": "it is asleep"}) == ([], [])


def test_two_hosts_have_records_of_their_own() -> None:
    keys: Keys = {"mail1": [pair()], "mail2": [pair("mail2-7", "waits")]}
    records, notes = wanted(signed("mail1", "mail2"), keys)
    assert records == ["mail1-1r", "mail1-1e", "mail2-7r", "mail2-7e"]
    assert notes == ["mail2 signs with mail2-7 once the records are there, from the next apply on"]
    half = wanted(signed("mail1", "mail2"), {**keys, "mail2": "it is asleep"})
    assert half == (["mail1-1r", "mail1-1e"], ["the keys of mail2 are not known here: it is asleep"])


def test_every_record_is_right_where_it_is_as_we_write_it() -> None:
    (zone,) = zones(signed(), "", {"mail1": [pair(), pair("mail1-2", "waits")]})
    for record in (each for each in zone.records if each.dkim):
        assert judge(record, {(record.name, "TXT"): Answer(record.values)}).status == "ok"


# --- writing


def read_back(zone: Zone) -> dict[str, list[str]]:
    """The TXT records of a zone file, by name, as whoever reads it sees them."""
    made = dns.zone.from_text(framed(zonefile(zone), zone.name), f"{zone.name}.", relativize=False)
    found: dict[str, list[str]] = {}
    for name, _, rdata in made.iterate_rdatas("TXT"):
        found.setdefault(name.to_text(omit_final_dot=True), []).append(_text(rdata))
    return found


def test_keys_survive_a_zone_file() -> None:
    (zone,) = zones(signed(), "", {"mail1": [pair(), pair("mail1-2", "waits")]})
    found = read_back(zone)
    for record in (each for each in zone.records if each.dkim):
        assert found[record.name] == list(record.values)
    assert all(len(line) < 600 for line in zonefile(zone).splitlines())


@given(st.lists(st.text(max_size=900), min_size=1, max_size=4, unique=True), st.lists(st.text(max_size=60), max_size=3))
def test_whatever_a_zone_file_has_is_read_back(texts: list[str], notes: list[str]) -> None:
    texts = list(dict.fromkeys(text.encode("utf-8", "replace").decode() for text in texts))
    records = tuple(Record(f"n{number}.example.com", "TXT", (text,), "why") for number, text in enumerate(texts))
    zone = Zone("example.com", " ".join(notes), records, tuple(notes))
    assert read_back(zone) == {record.name: list(record.values) for record in records}


# --- the command, and a real name server

DECLARATION = """\
mailprov: 1
hosts:
  mail1: {address: 198.18.0.10, hostname: mail.example.com}
domains: [{name: example.com, sign: true}]
users:
  - {address: postmaster@example.com, password: {initial: {env: P}}}
tls: {self_signed: {}}
services: {imap: {tls: 993}, submission: {tls: 465}, smtp: true}
"""
Run = Callable[..., tuple[int, str, str]]
needs_nsd = pytest.mark.skipif(NSD is None, reason="needs Debian's package nsd (script/setup --test installs it)")


@pytest.fixture
def mailprov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "mail.yaml").write_text(DECLARATION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str) -> tuple[int, str, str]:
        status = run(["dns", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return go


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NameServer]:
    (tmp_path / "nsd").mkdir()
    made = NameServer(tmp_path / "nsd")
    try:
        yield made
    finally:
        made.stop()


def answering(monkeypatch: pytest.MonkeyPatch, *pairs: KeyPair) -> None:
    monkeypatch.setattr(command, "public_keys", lambda spec, chosen, observer: ({"mail1": pairs}, []))


@needs_nsd
def test_keys_are_found_where_they_were_put(server: NameServer, mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, pair(), pair("mail1-2", "waits"))
    status, server.zones["example.com"], err = mailprov("--zonefile")
    assert (status, err) == (0, "")
    server.start()
    status, out, err = mailprov("--check", "--resolver", server.resolver)
    assert (status, out.count("ok         TXT"), err) == (0, 6, ""), out
    server.zones["example.com"] = "".join(
        line.replace("v=DKIM1; k=rsa", "k=rsa; t=s") if line.startswith("mail1-1r") else line
        for line in server.zones["example.com"].splitlines(keepends=True)
        if not line.startswith("mail1-2e")
    ).replace(f"p={ED25519}", "p=")
    server.start()
    status, out, _ = mailprov("--check", "--resolver", server.resolver, "--format", "json")
    told = json.loads(out)
    require(told)
    found = {each["name"]: each for each in told["domains"][0]["records"] if "_domainkey" in each["name"]}
    assert status == 9
    assert [each["status"] for each in found.values()] == ["ok", "different", "ok", "missing"]
    assert found["mail1-2e._domainkey.example.com"]["cure"].endswith(f"p={ED25519}")


@needs_nsd
def test_what_dns_has_is_told_also_where_a_host_is_silent(
    server: NameServer, mailprov: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is checked is not lost; the exit code says that not all of it was."""
    error = ConnectError("the connection was refused", where="mail1")
    error.at("mail1")
    monkeypatch.setattr(command, "public_keys", lambda *_: ({"mail1": "it is asleep"}, [error]))
    server.zones["example.com"] = "@ IN MX 10 other\n"
    server.start()
    status, out, _ = mailprov("--check", "--resolver", server.resolver)
    assert (status, "different  MX" in out) == (1, True), out
    assert "the keys of mail1 are not known here: it is asleep" in out


def test_confined_nobody_is_asked(mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "public_keys", None)
    status, out, err = mailprov("--confined")
    assert (status, err, "the keys of mail1 are not known here: it was not asked" in out) == (0, "", True)
