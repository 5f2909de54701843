"""What DNS says of senders, case by case: from records to findings, from findings to receivers' rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_schema import require

from mailprov import deliverability
from mailprov.deliverability import RECEIVERS, Finding, domains, hosts, policies
from mailprov.deliverability.receivers import rulings
from mailprov.deliverability.words import About, best, worst
from mailprov.dns.judge import Answer
from mailprov.dns.records import AskedKind, Record
from mailprov.model import Domain, Firewall, HostSpec, Listener, Outgoing, Relay, Services, Spec, Ssh, Tls
from mailprov.report import deliverability as report
from mailprov.workflows import deliverability as workflow

HOST = HostSpec(
    "mail1",
    "198.51.100.10",
    "mail.example.com",
    Ssh(),
    False,
    Tls("self_signed"),
    Services(submission=Listener(tls=465), smtp=25),
    Firewall(),
)
ZONE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("mail.example.com", "A"): ("198.51.100.10",),
    ("mail.example.com", "TXT"): ("v=spf1 a -all",),
    ("10.100.51.198.in-addr.arpa", "PTR"): ("mail.example.com.",),
    ("example.com", "TXT"): ("v=spf1 mx -all", "something else"),
    ("example.com", "MX"): ("10 mail.example.com.",),
    ("_dmarc.example.com", "TXT"): ("v=DMARC1; p=none; rua=mailto:postmaster@example.com",),
}
Zone = Mapping[tuple[str, str], tuple[str, ...]]


class Dns:
    def __init__(self, more: Zone = {}, silent: tuple[str, ...] = ()) -> None:  # noqa: B006
        self.zone, self.silent = {**ZONE, **more}, silent

    def __call__(self, name: str, kind: AskedKind) -> Answer:
        if name in self.silent:
            return Answer(why="SERVFAIL")
        return Answer(self.zone.get((name, kind), ()))


def spec(host: HostSpec = HOST, *names: str) -> Spec:
    return Spec({host.name: host}, {name: Domain(name, (host.name,)) for name in names or ("example.com",)}, (), ())


def judged(dns: Dns, host: HostSpec = HOST) -> dict[About, list[Finding]]:
    seen, domains_ = deliverability.judge(spec(host), (host,), dns)
    found: dict[About, list[Finding]] = {}
    for finding in (*seen[0].findings, *domains_[0].findings):
        found.setdefault(finding.about, []).append(finding)
    return found


def test_all_is_well() -> None:
    found = judged(Dns())
    assert {about: [each.standing for each in those] for about, those in found.items()} == {
        **{key: ["pass"] for key in ("name", "reverse", "helo-spf", "spf", "dmarc", "alignment", "mx")},
        "dkim": ["warning"],
    }


ARPA = ("10.100.51.198.in-addr.arpa", "PTR")
CASES: list[tuple[Zone, str, str, str, str]] = [
    ({("mail.example.com", "A"): ()}, "name", "fail", "has no address", "mail.example.com. A 198.51.100.10"),
    ({("mail.example.com", "A"): ("198.51.100.11",)}, "name", "warning", "leads to 198.51.100.11", "198.51.100.10"),
    ({ARPA: ()}, "reverse", "fail", "has no name", "10.100.51.198.in-addr.arpa. PTR mail.example.com."),
    ({ARPA: ("other.example.net.",)}, "reverse", "fail", "does not lead back", "PTR mail.example.com."),
    ({ARPA: ("",)}, "reverse", "fail", "does not lead back", "PTR mail.example.com."),
    ({ARPA: ("MAIL.example.com.", "x.net.")}, "reverse", "pass", "leads back", ""),
    (
        {ARPA: ("h198-51-100-10.x.net.",), ("h198-51-100-10.x.net", "A"): ("198.51.100.10",)},
        *("reverse", "warning", "nobody chose", "PTR mail.example.com."),
    ),
    (
        {("mail.example.com", "TXT"): ()},
        "helo-spf",
        "warning",
        "no SPF record",
        'mail.example.com. TXT "v=spf1 a -all"',
    ),
    ({("mail.example.com", "TXT"): ("v=spf1 -all",)}, "helo-spf", "fail", "fail for", "v=spf1 ip4:198.51.100.10 -all"),
    ({("mail.example.com", "TXT"): ("v=spf1 ~all",)}, "helo-spf", "warning", "softfail", "ip4:198.51.100.10 ~all"),
    ({("example.com", "TXT"): ()}, "spf", "fail", "no SPF record", 'example.com. TXT "v=spf1 mx ~all"'),
    (
        {("example.com", "TXT"): ("v=spf1 a -all", "v=spf1 mx include:x.net -all")},
        *("spf", "fail", "2 SPF records", '"v=spf1 a mx include:x.net -all"'),
    ),
    ({("example.com", "TXT"): ("v=spf1 ?all",)}, "spf", "fail", "neutral by ?all", '"v=spf1 ip4:198.51.100.10 ?all"'),
    ({("example.com", "TXT"): ("v=spf1",)}, "spf", "fail", "(neutral)", '"v=spf1 ip4:198.51.100.10"'),
    ({("example.com", "TXT"): ("v=spf1 mx +all",)}, "spf", "pass", "(mx)", ""),
    ({("example.com", "TXT"): ("v=spf1 a:x.org +all",)}, "spf", "warning", "everybody", '"v=spf1 a:x.org ~all"'),
    ({("example.com", "TXT"): ("v=spf1 oops -all",)}, "spf", "fail", "in error", '"v=spf1 mx ~all"'),
    ({("example.com", "TXT"): ("v=spf1 exists:%{l}.x.net -all",)}, "spf", "untold", "the sender's mailbox", ""),
    ({("_dmarc.example.com", "TXT"): ()}, "dmarc", "warning", "no DMARC record", '"v=DMARC1; p=none"'),
    ({("_dmarc.example.com", "TXT"): ("v=DMARC1; p=none",) * 2}, "dmarc", "warning", "2 DMARC records", "p=none"),
    ({("_dmarc.example.com", "TXT"): ("v=DMARC1",)}, "dmarc", "warning", "does not count: it has no policy", "p=none"),
    ({("_dmarc.example.com", "TXT"): ("v=DMARC1; p=x; rua=mailto:a@b.c",)}, "dmarc", "warning", "read as p=none", "p="),
    ({("_dmarc.example.com", "TXT"): ("v=DMARC1; p=reject",)}, "dmarc", "warning", "forwarded", "p=none"),
    ({("_dmarc.example.com", "TXT"): ("v=DMARC1; p=reject; t=y",)}, "dmarc", "pass", "tried out", ""),
    ({("_dmarc.example.com", "TXT"): ("v=DMARC1; p=none; zzz=1",)}, "dmarc", "pass", "valid: none", ""),
    ({("example.com", "MX"): ()}, "mx", "fail", "no MX record and no address", "example.com. MX 10 mail.example.com."),
    ({("example.com", "MX"): (), ("example.com", "A"): ("198.51.100.9",)}, "mx", "warning", "own address", "MX 10"),
    ({("example.com", "MX"): ("0 .",)}, "mx", "fail", "null MX", "MX 10 mail.example.com."),
    ({("example.com", "MX"): ("10 gone.example.com.",)}, "mx", "fail", "no address", "MX 10 mail.example.com."),
    ({("example.com", "MX"): ("5 gone.example.com.", "10 mail.example.com.")}, "mx", "warning", "also leads", ""),
    ({("_mta-sts.example.com", "TXT"): ("v=STSv1; id=1;",)}, "mta-sts", "pass", "well-formed", ""),
    ({("_mta-sts.example.com", "TXT"): ("v=STSv1; id=a-b",)}, "mta-sts", "warning", "id=", ""),
    ({("_mta-sts.example.com", "TXT"): ("v=STSv1; id=1",) * 2}, "mta-sts", "warning", "2 of them", ""),
    ({("_smtp._tls.example.com", "TXT"): ("v=TLSRPTv1; rua=x",)}, "tls-rpt", "warning", "rua=", ""),
    ({("_smtp._tls.example.com", "TXT"): ("v=TLSRPTv1; rua=https://x.net/",)}, "tls-rpt", "pass", "well-formed", ""),
    ({("_25._tcp.mail.example.com", "TLSA"): (f"3 1 1 {'ab' * 32}",)}, "tlsa", "pass", "well-formed", ""),
    ({("_25._tcp.mail.example.com", "TLSA"): (f"1 1 1 {'ab' * 32}",)}, "tlsa", "warning", "usage 1", ""),
]


@pytest.mark.parametrize(("more", "about", "standing", "what", "record"), CASES)
def test_each_case(more: Zone, about: About, standing: str, what: str, record: str) -> None:
    (found,) = judged(Dns(more))[about]
    assert (found.standing, what in found.what, record in found.record) == (standing, True, True), found
    assert bool(found.fix) == (standing in ("fail", "warning") or (about == "spf" and standing == "untold")), found
    assert not found.unanswered


@pytest.mark.parametrize(
    ("silent", "about"),
    [
        ("mail.example.com", "name"),
        ("10.100.51.198.in-addr.arpa", "reverse"),
        ("mail.example.com", "helo-spf"),
        ("example.com", "spf"),
        ("_dmarc.example.com", "dmarc"),
        ("example.com", "mx"),
    ],
)
def test_no_answer_is_no_judgement(silent: str, about: About) -> None:
    found = judged(Dns(silent=(silent,)))
    assert {each.standing for each in found[about]} == {"untold"} and found[about][0].unanswered
    assert "fail" not in {each.standing for those in found.values() for each in those}


def test_a_policy_may_be_that_of_a_domain_above() -> None:
    lookup = Dns({("_dmarc.example.com", "TXT"): ("v=DMARC1; p=quarantine; sp=reject",)})
    found = domains.dmarc("mail.sub.example.com", {}, lookup, unsigned=False)
    assert (found.standing, "reject (of example.com)" in found.what) == ("pass", True)
    assert list(domains.dmarc_places("a.b.example.com")) == ["a.b.example.com", "b.example.com", "example.com"]
    assert len(list(domains.dmarc_places(".".join("abcdefghijklmn")))) <= 8
    near = Dns({("_dmarc.b.example.com", "TXT"): ("v=DMARC1; p=none; psd=n",)})
    assert "of b.example.com" in domains.dmarc("a.b.example.com", {}, near, unsigned=False).what


# --- ways


RELAY = Relay("smtp.relay.example", 587, user="me")
RELAYED = replace(HOST, outgoing=Outgoing(relay=RELAY))


def test_through_a_relay_the_hosts_own_address_does_not_count() -> None:
    at = {("smtp.relay.example", "A"): ("203.0.113.5",), ARPA: ()}
    found = judged(Dns(at), RELAYED)
    assert "reverse" not in found and "helo-spf" not in found
    assert [each.standing for each in found["relay"]] == ["untold"]
    assert (found["spf"][0].standing, "ip4:203.0.113.5" in found["spf"][0].record) == ("fail", True)
    assert found["dkim"][0].outcome == "untold"
    allowed = judged(Dns({**at, ("example.com", "TXT"): ("v=spf1 ip4:203.0.113.0/24 -all",)}), RELAYED)
    assert (allowed["spf"][0].standing, allowed["alignment"][0].standing) == ("pass", "untold")
    included = {("example.com", "TXT"): ("v=spf1 include:x.net -all",), ("x.net", "TXT"): ("v=spf1 -all",)}
    assert judged(Dns({**at, **included}), RELAYED)["spf"][0].standing == "untold"
    nothing = judged(Dns({**at, ("example.com", "TXT"): ()}), RELAYED)["spf"][0]
    assert nothing.record == 'example.com. TXT "v=spf1 mx ip4:203.0.113.5 ~all"'
    nowhere = judged(Dns(), RELAYED)["spf"]
    assert [each.standing for each in nowhere] == ["untold"] and "include:" in nowhere[0].fix


def test_what_a_known_provider_wants_included_is_told() -> None:
    known = replace(HOST, outgoing=Outgoing(relay=Relay("smtp.gmail.com", 587, user="me")))
    (found,) = judged(Dns(), known)["spf"]
    assert (found.standing, found.record) == ("fail", 'example.com. TXT "v=spf1 mx include:_spf.google.com -all"')
    (found,) = judged(Dns({("example.com", "TXT"): ()}), known)["spf"]
    assert (found.fix, found.record) == ("add it", 'example.com. TXT "v=spf1 mx include:_spf.google.com ~all"')
    theirs: Zone = {("_spf.google.com", "TXT"): ("v=spf1 ip4:203.0.113.0/24 ~all",)}
    theirs = {**theirs, ("_SPF.google.com", "TXT"): theirs["_spf.google.com", "TXT"]}
    for record in ("v=spf1 include:_spf.google.com -all", "v=spf1 redirect=_SPF.google.com"):
        (found,) = judged(Dns({**theirs, ("example.com", "TXT"): (record,)}), known)["spf"]
        assert found.standing == "pass"
    wrong = Dns({("example.com", "TXT"): ("v=spf1 include:_spf.google.com -all",)})
    assert "leads to no SPF record" in judged(wrong, known)["spf"][0].what


def test_some_senders_go_another_way() -> None:
    ways = (("@example.com", None), ("alerts@example.com", RELAY))
    both = replace(HOST, outgoing=Outgoing(relay=Relay("other.example", 25), senders=ways))
    at = {("smtp.relay.example", "A"): ("203.0.113.5",), ("other.example", "A"): ("203.0.113.6",)}
    found = judged(Dns(at), both)
    assert [each.standing for each in found["spf"]] == ["pass", "fail"]
    assert "203.0.113.5 (smtp.relay.example)" in found["spf"][1].what
    assert (found["dkim"][0].standing, found["dkim"][0].outcome) == ("untold", "fail")
    assert [each.standing for each in found["reverse"]] == ["pass"]


def test_who_sends_nothing_is_not_looked_at() -> None:
    only = replace(HOST, services=Services(imap=Listener(tls=993)))
    assert deliverability.judge(spec(only), (only,), Dns()) == ([], [])


def test_both_families_are_looked_at() -> None:
    more = {("mail.example.com", "AAAA"): ("2001:db8::1",)}
    found = judged(Dns(more))
    assert [each.standing for each in found["reverse"]] == ["pass", "fail"]
    assert found["reverse"][1].record.endswith("8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.com.")
    unknown = replace(HOST, address="local")
    assert len(judged(Dns(more), unknown)["spf"]) == 2
    private = replace(HOST, address="10.0.0.1")
    inside = judged(Dns({("mail.example.com", "A"): ("10.0.0.1",)}), private)
    assert (inside["name"][0].standing, inside["spf"][0].standing) == ("fail", "untold")


@pytest.mark.parametrize(
    ("name", "address", "dull"),
    [
        *(
            (name, "198.51.100.10", True)
            for name in (
                *(
                    "198-51-100-10.x.net",
                    "10.100.51.198.dyn.x.net",
                    "ip198.51.100.10.x.net",
                    "c633640a.x.net",
                ),
                *("198051100010.x.net", "static-198-051-100-010.x.net"),
            )
        ),
        *((name, "198.51.100.10", False) for name in ("mail10.x.net", "mx-198-51.x.net", "mail.x.net", "10.100.x.net")),
        *((name, "2001:db8::1", True) for name in ("2001-db8--1.x.net", "20010db8000000000000000000000001.x.net")),
        ("mail.x.net", "2001:db8::1", False),
    ],
)
def test_names_that_nobody_chose(name: str, address: str, dull: bool) -> None:
    assert hosts.generic(name, ip_address(address)) is dull


# --- policies


@pytest.mark.parametrize(
    ("text", "policy", "applies", "wrong"),
    [
        ("v=DMARC1; p=none", "none", True, ""),
        ("v=DMARC1;p=REJECT;", "reject", True, ""),
        ("v = DMARC1 ; p = quarantine ; pct=50", "quarantine", True, ""),
        ("v=dmarc1; p=none", "none", True, "v=DMARC1"),
        ("v=DMARC1; rua=mailto:a@example.com; p=none", "none", True, "right after"),
        ("v=DMARC1; p=none; sp=all", "none", True, "sp= is none of"),
        ("v=DMARC1; p=none; adkim=x", "none", True, "adkim="),
        ("v=DMARC1; p=none; rua=a@example.com", "none", True, "rua="),
        ("v=DMARC1; p=none; rua=mailto:a@example.com!10m,https://x.net/", "none", True, ""),
        ("v=DMARC1; p=none; p=reject", "none", True, "twice"),
        ("v=DMARC1 p=none", "", False, "version"),
        ("v=DMARC1; none", "", False, "name=value"),
        ("v=DMARC1; rua=mailto:a@example.com", "", True, "no policy"),
        ("v=DMARC1; " + "x" * 9_000, "", False, "more than"),
    ],
)
def test_dmarc_records(text: str, policy: str, applies: bool, wrong: str) -> None:
    found = policies.dmarc(text)
    assert (found.policy, found.applies) == (policy, applies), found
    assert wrong in " | ".join(found.wrong) if wrong else not found.wrong, found


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"3 1 1 {'0' * 64}", ""),
        (f"2 0 2 {'0' * 64} {'a' * 64}", ""),
        ("3 0 0 3082", ""),
        ("3 1 1 00", "64 hexadecimal"),
        (f"0 1 1 {'0' * 64}", "usage 0"),
        (f"3 2 1 {'0' * 64}", "selector"),
        ("3 1 1", "form"),
        ("", "form"),
        ("3 x 1 ab", "form"),
    ],
)
def test_tlsa_records(text: str, wrong: str) -> None:
    assert (wrong in policies.tlsa_wrong(text)) if wrong else policies.tlsa_wrong(text) == ""


@given(st.text(max_size=300) | st.from_regex(r"\Av=DMARC1(; ?[a-z]{1,3}=[^;]{0,9}){0,9}\Z"))
def test_any_text_is_read(text: str) -> None:
    policies.is_dmarc(text)
    assert policies.dmarc(text).policy in ("", "none", "quarantine", "reject")
    assert isinstance(policies.sts_wrong(text), tuple) and isinstance(policies.tls_reports_wrong(text), tuple)
    assert isinstance(policies.tlsa_wrong(text), str)


# --- receivers


def test_each_rule_has_its_source() -> None:
    names = [receiver.name for receiver in RECEIVERS]
    assert names == ["Gmail", "Microsoft", "Yahoo", "QQ", "NetEase"]
    for receiver in RECEIVERS:
        assert len({rule.name for rule in receiver.rules}) == len(receiver.rules) and receiver.bulk
        for rule in receiver.rules:
            assert rule.source.startswith(("https://", "http://")) and date(2025, 1, 1) < rule.checked_on
    unverified = {(receiver.name, rule.name) for receiver in RECEIVERS for rule in receiver.rules if not rule.verified}
    assert unverified == {("QQ", rule.name) for rule in RECEIVERS[3].rules} | {("NetEase", "DMARC")}


def outcomes(**found: str) -> dict[tuple[str, str], str]:
    findings = [Finding(about.replace("_", "-"), standing, "") for about, standing in found.items()]  # type: ignore[arg-type]
    return {(each.receiver.name, each.rule.name): each.outcome for each in rulings(findings)}


def test_rules_are_joined_from_findings() -> None:
    well = outcomes(spf="pass", dkim="fail", dmarc="pass", alignment="pass", reverse="pass")
    assert (well["Gmail", "authentication"], well["Gmail", "authentication of bulk"]) == ("pass", "fail")
    assert (well["Gmail", "DMARC"], well["Gmail", "reverse DNS"], well["Gmail", "TLS"]) == ("pass", "pass", "untold")
    bad = outcomes(spf="fail", dkim="fail", dmarc="fail", alignment="fail", reverse="fail")
    assert set(bad.values()) == {"fail", "untold"} and bad["NetEase", "SPF"] == "fail"
    relay = outcomes(spf="fail", dkim="untold", dmarc="pass", alignment="untold", reverse="untold")
    assert (relay["Gmail", "authentication"], relay["Microsoft", "SPF of bulk"]) == ("untold", "fail")
    assert set(outcomes().values()) == {"untold"}
    assert (worst([]), best([]), worst(["pass", "untold"]), best(["fail", "untold"])) == (
        "untold",
        "fail",
        *["untold"] * 2,
    )


# --- reports, and who is asked


def test_what_is_said_of_several_domains_is_said_once() -> None:
    many = [f"d{n}.example" for n in range(30)]
    more: dict[tuple[str, str], tuple[str, ...]] = {}
    for name in many:
        more[name, "TXT"], more[name, "MX"] = ("v=spf1 mx -all",), ("10 mail.example.com.",)
    seen = deliverability.judge(spec(HOST, *many), (HOST,), Dns(more))
    lines = [line.text for line in report.text(*seen, ["mail9"])]
    assert sum("not signed" in line for line in lines) == 1
    assert "mail9: sends no mail, or for no domain" in lines


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(["fail", "warning", "untold", "pass"]))
def test_reports_of_any_words_are_valid(what: str, record: str, standing: str) -> None:
    import json

    finding = Finding("spf", standing, what, what, record)  # type: ignore[arg-type]
    host = deliverability.HostJudged(what, what, (what,), (), (what,), (finding,))
    domain = deliverability.DomainJudged(what, (what,), (finding,), tuple(rulings([finding])))
    require(json.loads(report.as_json([host], [domain], [], fails=domain.fails)))
    assert domain.fails == (standing == "fail")
    report.as_markdown([host], [domain], [])
    report.text([host], [domain], [], details=True)
    report.suites([host], [domain], [])


def test_a_dead_resolver_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def ask(questions: object, resolver: object) -> dict[object, Answer]:
        part = list(questions)  # type: ignore[call-overload]
        asked.extend(part)
        return dict.fromkeys(part, Answer(why="none within 0 seconds"))

    monkeypatch.setattr(workflow, "ask", ask)
    monkeypatch.setattr(workflow, "PATIENCE", 0.0)
    dns = workflow.Dns(None)
    dns.learn((f"{n}.example.com", "A") for n in range(500))
    assert len(asked) == 32
    assert dns("499.example.com", "A").why == dns("other.example.com", "A").why == "none within 0 seconds"
    assert len(asked) == 32


def test_a_slow_resolver_is_not_waited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr(workflow.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(workflow, "ask", lambda questions, _: {each: Dns()(*each) for each in questions})
    found = workflow.deliverability(spec(), (HOST,), None)
    assert any("more than 20 seconds" in finding.unanswered for finding in found.domains[0].findings)
    assert not found.fails and found.failures[0].host == "mail1"


def test_wanted_records_are_those_of_the_declaration() -> None:
    wanted = {("example.com", "MX"): Record("example.com", "MX", ("10 mx.example.com.",), "why")}
    (found,) = domains.exchangers("example.com", wanted, Dns({("example.com", "MX"): ("0 .",)}))
    assert found.record == "example.com. MX 10 mx.example.com."
