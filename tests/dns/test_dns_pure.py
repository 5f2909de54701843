"""Which records a declaration needs, how they are written, and how what is there is judged."""

from __future__ import annotations

from pathlib import Path

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.dns import Answer, Finding, Record, Spf, judge, questions, zonefile, zones
from mailprov.dns.resolver import server
from mailprov.dns.zonefile import comment, quoted
from mailprov.errors import MailprovError
from mailprov.model import Domain, Firewall, HostSpec, Listener, Password, Services, Spec, Ssh, Tls, User
from mailprov.providers import catalogue

EVERYTHING = Services(Listener(110, 995), Listener(143, 993), Listener(587, 465), 25)


def host(name: str = "mail1", address: str = "192.0.2.10", hostname: str = "mail.example.com", services=EVERYTHING):  # type: ignore[no-untyped-def]
    return HostSpec(name, address, hostname, Ssh(), False, Tls("self_signed"), services, Firewall())


def spec(*hosts: HostSpec, domains: tuple[Domain, ...] = (), users: tuple[User, ...] = ()) -> Spec:
    declared = domains or (Domain("example.com", tuple(each.name for each in hosts)),)
    return Spec({each.name: each for each in hosts}, {each.name: each for each in declared}, users, ())


def lines(made: Spec, name: str = "example.com", web: str = "") -> list[str]:
    zone = next(zone for zone in zones(made, web) if zone.name == name)
    return [f"{record.name} {record.kind} {value}" for record in zone.records for value in record.values]


def test_everything_on_one_host() -> None:
    assert lines(spec(host()), web="www.example.com") == [
        "example.com MX 10 mail.example.com.",
        "example.com TXT v=spf1 mx ~all",
        "_dmarc.example.com TXT v=DMARC1; p=none",
        "_submissions._tcp.example.com SRV 0 1 465 mail.example.com.",
        "_submission._tcp.example.com SRV 0 1 587 mail.example.com.",
        "_imaps._tcp.example.com SRV 0 1 993 mail.example.com.",
        "_imap._tcp.example.com SRV 0 1 143 mail.example.com.",
        "_pop3s._tcp.example.com SRV 10 1 995 mail.example.com.",
        "_pop3._tcp.example.com SRV 10 1 110 mail.example.com.",
        "autoconfig.example.com CNAME www.example.com.",
        "autodiscover.example.com CNAME www.example.com.",
        "_autodiscover._tcp.example.com SRV 0 1 443 www.example.com.",
        "mail.example.com A 192.0.2.10",
    ]


def test_what_is_not_offered_is_said() -> None:
    told = lines(spec(host(services=Services(pop3=Listener(tls=1995)))))
    assert "_pop3s._tcp.example.com SRV 10 1 1995 mail.example.com." in told
    assert [line for line in told if line.endswith(" 0 0 0 .")] == [
        f"_{label}._tcp.example.com SRV 0 0 0 ." for label in ("submissions", "submission", "imaps", "imap", "pop3")
    ]
    assert not any(" MX " in line or "spf1" in line for line in told), "it takes and sends no mail"


@pytest.mark.parametrize(
    ("address", "record"),
    [
        ("198.18.0.9", "mail.example.com A 198.18.0.9"),
        ("2001:db8::25", "mail.example.com AAAA 2001:db8::25"),
        *(
            (text, None)
            for text in ("10.1.2.3", "192.168.0.9", "fd00::1", "local", "bastion", "127.0.0.1", "100.64.1.1")
        ),
    ],
)
def test_an_address_is_public_or_not_said(address: str, record: str | None) -> None:
    made = spec(host(address=address))
    assert [line for line in lines(made) if " A" in line] == ([record] if record else [])
    assert any("needs an A or AAAA" in note for note in zones(made)[0].notes) is (record is None)


def test_a_host_name_is_in_the_longest_zone_that_is_declared() -> None:
    two = host("mail2", "192.0.2.11", "mx.elsewhere.org")
    one = host(hostname="mail.eu.example.com")
    domains = (
        Domain("example.com", ("mail1", "mail2")),
        Domain("eu.example.com", (), hosted_by="gmail"),
        Domain("ample.com", ("mail1",)),
    )
    made = {zone.name: zone for zone in zones(spec(one, two, domains=domains))}
    where = {name: [r.name for r in zone.records if r.kind == "A" and r.values] for name, zone in made.items()}
    assert where == {"example.com": [], "eu.example.com": ["mail.eu.example.com"], "ample.com": []}
    assert [record.name for record in made["example.com"].elsewhere] == ["mx.elsewhere.org"]
    assert "; in another zone: mx.elsewhere.org. IN A 192.0.2.11" in zonefile(made["example.com"])
    assert any("mail is spread over mail1, mail2" in note for note in made["example.com"].notes)


def test_reports_go_where_somebody_reads_them() -> None:
    user = User("li@example.com", Password("initial", ""), aliases=("postmaster@example.com",))
    assert "_dmarc.example.com TXT v=DMARC1; p=none; rua=mailto:postmaster@example.com" in lines(
        spec(host(), users=(user,))
    )


@pytest.mark.parametrize("provider", catalogue())
def test_a_hosted_domain_gets_what_its_provider_documents(provider: str) -> None:
    made = zones(spec(host(), domains=(Domain("x.cn", (), hosted_by=provider),)))[0]
    assert provider in catalogue()
    known = catalogue()[provider]
    services = [record for record in made.records if record.kind == "SRV"]
    assert all(record.optional for record in services)
    told = {value.split()[-1] for record in services for value in record.values}
    offered = {f"{s.host}." for p in ("pop3", "imap", "submission") for s in known.servers(p) or ()}
    assert told <= offered | {"."}
    assert not (known.cluster and services)
    assert dns.zone.from_text(framed(zonefile(made), "x.cn"), "x.cn.", relativize=False)


def framed(fragment: str, name: str) -> str:
    """A whole zone: what its server adds."""
    return f"@ 3600 IN SOA ns.{name}. root.{name}. 1 3600 600 86400 600\n@ IN NS ns\nns IN A 127.0.0.1\n{fragment}"


# --- judging


MX = Record("x.cn", "MX", ("10 a.x.cn.", "10 b.x.cn."), "why")
SRV = Record("_imaps._tcp.x.cn", "SRV", ("0 1 993 a.x.cn.",), "why")
NONE = Record("_imap._tcp.x.cn", "SRV", ("0 0 0 .",), "why", optional=True)
SPF = Record("x.cn", "TXT", ("v=spf1 mx ~all",), "why", spf=Spf((("mx", "a:a.x.cn", "ip4:192.0.2.1"),)))
DMARC = Record("_dmarc.x.cn", "TXT", ("v=DMARC1; p=none",), "why")
TENCENT = Record("x.cn", "MX", ("5 mxbiz1.qq.com.",), "why", provider=catalogue()["tencent-exmail"])
ADDRESS = Record("a.x.cn", "AAAA", ("2001:db8::1",), "why")


@pytest.mark.parametrize(
    ("record", "there", "status"),
    [
        (MX, ("10 A.x.cn.", "20 b.x.cn."), "ok"),
        (MX, (), "missing"),
        (MX, ("10 a.x.cn.",), "different"),
        (MX, ("10 a.x.cn.", "10 b.x.cn.", "50 old.x.cn."), "extra"),
        (MX, ("0 .",), "different"),
        (SRV, ("5 0 993 a.x.cn.",), "ok"),
        (SRV, ("0 1 995 a.x.cn.",), "different"),
        (SRV, ("0 0 0 .",), "different"),
        (SRV, ("0 1 993 a.x.cn.", "0 1 993 c.x.cn."), "extra"),
        (NONE, ("0 0 0 .",), "ok"),
        (NONE, ("10 20 143 .",), "ok"),
        (NONE, ("0 1 143 a.x.cn.",), "different"),
        (ADDRESS, ("2001:0db8::0001",), "ok"),
        (ADDRESS, ("2001:db8::2",), "different"),
        (SPF, ("some other text", "V=SPF1 +mx -all"), "ok"),
        (SPF, ("v=spf1 a:a.x.cn ~all",), "ok"),
        (SPF, ("v=spf1 ip4:192.0.2.0/24 ?all",), "ok"),
        (SPF, ("v=spf1 ip4:192.0.3.0/24 -all",), "different"),
        (SPF, ("v=spf1 ip4:nonsense ip6:192.0.2.1 -all",), "different"),
        (SPF, ("v=spf1 -all mx",), "different"),
        (SPF, ("v=spf1 -mx -all",), "different"),
        (SPF, ("v=spf1 mx +all",), "different"),
        (SPF, ("v=spf1 mx all",), "different"),
        (SPF, ("v=spf1 mx -all", "v=spf1 include:y.cn -all"), "different"),
        (SPF, ("v=spf10 mx",), "missing"),
        (DMARC, ("v=DMARC1;p=reject; rua=mailto:a@b.cn",), "ok"),
        (DMARC, ("v=DMARC1; pct=10",), "different"),
        (DMARC, ("v=DMARC1; p=perhaps",), "different"),
        (DMARC, ("v=DMARC1; p=none", "v=DMARC1; p=none"), "different"),
        (DMARC, (), "missing"),
        (TENCENT, ("5 mxbiz1.qq.com.", "10 mxbiz2.qq.com."), "ok"),
        (TENCENT, ("5 mxbiz1.qq.com.", "10 mail.x.cn."), "extra"),
        (TENCENT, ("10 mail.x.cn.",), "different"),
        (TENCENT, (), "missing"),
    ],
)
def test_judging(record: Record, there: tuple[str, ...], status: str) -> None:
    found = judge(record, {(record.name, record.kind): Answer(there)})
    assert found.status == status, found
    assert found.differs is (status != "ok")
    assert bool(found.what and found.fix) is (status != "ok")


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [((), (), "missing"), (("192.0.2.1",), (), "ok"), ((), ("2001:db8::1",), "ok")],
)
def test_an_undeclared_address_is_any_address(old: tuple[str, ...], new: tuple[str, ...], status: str) -> None:
    record = next(each for each in zones(spec(host(address="10.0.0.1")))[0].records if each.kind == "A")
    assert record.values == ()
    assert "mail IN A" not in zonefile(zones(spec(host(address="10.0.0.1")))[0])
    answers = {(record.name, "A"): Answer(old), (record.name, "AAAA"): Answer(new)}
    assert answers.keys() == set(questions(record))
    assert judge(record, answers).status == status


def test_an_optional_record_may_be_missing() -> None:
    found = judge(NONE, {(NONE.name, "SRV"): Answer()})
    assert (found.status, found.differs) == ("missing", False)


def test_no_answer_is_no_verdict() -> None:
    found = judge(NONE, {(NONE.name, "SRV"): Answer(why="SERVFAIL")})
    assert (found.status, found.differs, "SERVFAIL" in found.what) == ("unknown", True, True)


@pytest.mark.parametrize(
    ("here", "there", "status"),
    [
        ((), (), "missing"),
        (("192.0.2.1",), ("192.0.2.1", "192.0.2.2"), "ok"),
        (("192.0.2.3",), ("192.0.2.1",), "different"),
    ],
)
def test_addresses_may_stand_for_a_cname(here: tuple[str, ...], there: tuple[str, ...], status: str) -> None:
    record = Record("autoconfig.x.cn", "CNAME", ("www.x.cn.",), "why")
    answers = {question: Answer() for question in questions(record)}
    answers |= {("autoconfig.x.cn", "A"): Answer(here), ("www.x.cn", "A"): Answer(there)}
    assert judge(record, answers).status == status


def test_every_record_is_right_where_it_is_as_we_write_it() -> None:
    for zone in zones(spec(host(), host("mail2", "2001:db8::1", "mx.other.org")), "www.example.com"):
        for record in (*zone.records, *zone.elsewhere):
            answers = {question: Answer() for question in questions(record)}
            answers[record.name, record.kind] = Answer(record.values)
            assert judge(record, answers) == Finding(record, "ok", record.values)


# --- writing


@given(st.text(max_size=700))
def test_any_text_survives_a_zone_file(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    parsed = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, quoted(text))
    assert b"".join(parsed.strings).decode() == text  # type: ignore[attr-defined]


@given(st.text())
def test_nothing_ends_a_comment(text: str) -> None:
    assert len(f"; {comment(text)}".splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("[2001:db8::53]:54", ("2001:db8::53", 54)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[::1]", ("::1", 53)),
    ],
)
def test_a_resolver(text: str, meant: tuple[str, int]) -> None:
    assert server(text) == meant


@pytest.mark.parametrize(
    "text", ["dns.google", "1.2.3", "1.2.3.4:0", "1.2.3.4:99999", "[1.2.3.4", ":53", "::g", "[]:1"]
)
def test_no_resolver(text: str) -> None:
    with pytest.raises(MailprovError, match="is no resolver"):
        server(text)


def test_dnspython_is_imported_when_something_is_asked_only(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = "import sys, mailprov.dns.resolver, mailprov.commands.dns; print('dns' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
