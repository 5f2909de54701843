"""SPF as receivers evaluate it: the examples of RFC 7208, its limits, and records that want to do harm."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailprov.dns.judge import Answer
from mailprov.dns.records import AskedKind
from mailprov.dns.spf import LOOKUPS, Evaluation, evaluate, with_term
from mailprov.dns.spf_syntax import Syntax, expanded, parsed

Zone = Mapping[tuple[str, str], tuple[str, ...]]

# RFC 7208, Appendix A
EXAMPLE: Zone = {
    ("example.com", "MX"): ("10 mail-a.example.com.", "20 mail-b.example.com."),
    ("example.com", "A"): ("192.0.2.10", "192.0.2.11"),
    ("amy.example.com", "A"): ("192.0.2.65",),
    ("bob.example.com", "A"): ("192.0.2.66",),
    ("mail-a.example.com", "A"): ("192.0.2.129",),
    ("mail-b.example.com", "A"): ("192.0.2.130",),
    ("mail-c.example.org", "A"): ("192.0.2.140",),
    ("example.org", "MX"): ("10 mail-c.example.org.",),
    ("10.2.0.192.in-addr.arpa", "PTR"): ("example.com.",),
    ("65.2.0.192.in-addr.arpa", "PTR"): ("amy.example.com.",),
    ("140.2.0.192.in-addr.arpa", "PTR"): ("mail-c.example.org.",),
}


class Dns:
    """A zone that counts what it is asked."""

    def __init__(self, zone: Zone, fails: tuple[str, ...] = ()) -> None:
        self.zone, self.fails = zone, fails
        self.asked: list[tuple[str, AskedKind]] = []

    def __call__(self, name: str, kind: AskedKind) -> Answer:
        assert len(name) <= 253 and all(0 < len(label) < 64 for label in name.split("."))
        self.asked.append((name, kind))
        if name in self.fails:
            return Answer(why="SERVFAIL")
        return Answer(self.zone.get((name.lower(), kind), ()))


def told(record: str, address: str, more: Zone = EXAMPLE, domain: str = "example.com", **words: str) -> Evaluation:
    return evaluate(ip_address(address), domain, Dns({**more, (domain, "TXT"): (record,)}), **words)


@pytest.mark.parametrize(
    ("record", "allowed", "refused"),
    [
        ("v=spf1 +all", ("192.0.2.129", "2001:db8::1"), ()),
        ("v=spf1 a -all", ("192.0.2.10", "192.0.2.11"), ("192.0.2.65",)),
        ("v=spf1 a:example.org -all", (), ("192.0.2.10",)),
        ("v=spf1 mx -all", ("192.0.2.129", "192.0.2.130"), ("192.0.2.140",)),
        ("v=spf1 mx:example.org -all", ("192.0.2.140",), ("192.0.2.129",)),
        ("v=spf1 mx mx:example.org -all", ("192.0.2.129", "192.0.2.140"), ("192.0.2.10",)),
        ("v=spf1 mx/30 mx:example.org/30 -all", ("192.0.2.131", "192.0.2.143"), ("192.0.2.144",)),
        ("v=spf1 ptr -all", ("192.0.2.10", "192.0.2.65"), ("192.0.2.140",)),
        ("v=spf1 ip4:192.0.2.128/28 -all", ("192.0.2.129",), ("192.0.2.65",)),
    ],
)
def test_the_examples_of_appendix_a(record: str, allowed: tuple[str, ...], refused: tuple[str, ...]) -> None:
    assert [told(record, each).result for each in allowed] == ["pass"] * len(allowed)
    assert [told(record, each).result for each in refused] == ["fail"] * len(refused)


@pytest.mark.parametrize(
    ("record", "address", "result", "matched"),
    [
        ("v=spf1", "192.0.2.1", "neutral", ""),
        ("V=SPF1 IP4:192.0.2.1 -ALL", "192.0.2.1", "pass", "IP4:192.0.2.1"),
        ("v=spf1  ip4:192.0.2.1   ~all  ", "192.0.2.2", "softfail", "~all"),
        ("v=spf1 ?ip4:192.0.2.1 -all", "192.0.2.1", "neutral", "?ip4:192.0.2.1"),
        ("v=spf1 -all ip4:192.0.2.1", "192.0.2.1", "fail", "-all"),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::1", "pass", "ip6:2001:db8::/32"),
        ("v=spf1 ip4:0.0.0.0/0 -all", "2001:db8::1", "fail", "-all"),
        ("v=spf1 a//64 -all", "192.0.2.10", "pass", "a//64"),
        ("v=spf1 ip6:::/0 ip4:192.0.2.1 -all", "::ffff:192.0.2.1", "pass", "ip4:192.0.2.1"),
        ("v=spf1 unknown=%{d}/x -all", "192.0.2.1", "fail", "-all"),
        ("v=spf1 exp=explain._spf.%{d} -all", "192.0.2.1", "fail", "-all"),
        ("v=spf10 +all", "192.0.2.1", "none", ""),
        ("spf2.0/pra +all", "192.0.2.1", "none", ""),
    ],
)
def test_terms(record: str, address: str, result: str, matched: str) -> None:
    found = told(record, address)
    assert (found.result, found.matched) == (result, matched), found


@pytest.mark.parametrize(
    "term",
    [
        *("ip4:192.0.2.256", "ip4:192.0.2", "ip4:192.0.2.1/33", "ip4:192.0.2.1/08", "ip4:192.0.2.1/255.255.255.0"),
        *("ip4", "ip4:", "ip6:192.0.2.1", "ip6:fe80::1%eth0", "ip6:2001:db8::/129"),
        *("a:", "a:example", "a:example.com/33", "a:example.com//129", "mx/032", "a:.", "a:example.1", "a:x.-a"),
        *("include", "include:", "include:%{x}", "include:%", "include:%{d", "include:a b", "exists", "exists:%{d0}"),
        *("redirect=", "exp=", "redirect=%", "all:x", "all/8", "foo", "foo:bar.com", "+", "-", "a=%{", "ptr:", "ptr/2"),
        *("redirect=a.com redirect=b.com", "exp=a.com exp=b.com", "ip4:192.0.2.1\t", "a:exa\u00e9mple.com", "~~all"),
    ],
)
def test_what_is_not_valid_is_an_error_wherever_it_stands(term: str) -> None:
    for record in (f"v=spf1 +all {term}", f"v=spf1 {term} +all"):
        if term == "include:a b":
            continue
        found = told(record, "192.0.2.1")
        assert found.result == "permerror" and "not valid" in found.why, (record, found)


def test_includes_match_where_they_pass_and_are_errors_where_there_is_nothing() -> None:
    zone = {
        ("soft.net", "TXT"): ("v=spf1 ~all",),
        ("good.net", "TXT"): ("text", "v=spf1 ip4:192.0.2.7 -all"),
        ("bad.net", "TXT"): ("v=spf1 nonsense",),
        ("two.net", "TXT"): ("v=spf1 -all", "v=spf1 +all"),
    }
    assert told("v=spf1 include:soft.net include:good.net -all", "192.0.2.7", zone).result == "pass"
    assert told("v=spf1 include:good.net ?all", "192.0.2.8", zone).result == "neutral"
    for name, why in (("none.net", "leads to no SPF record"), ("bad.net", "not valid"), ("two.net", "2 SPF records")):
        found = told(f"v=spf1 include:{name} +all", "192.0.2.7", zone)
        assert found.result == "permerror" and why in found.why
        found = told(f"v=spf1 redirect={name}", "192.0.2.7", zone)
        assert found.result == "permerror" and why in found.why
    found = told("v=spf1 redirect=good.net", "192.0.2.7", zone)
    assert (found.result, found.matched) == ("pass", "ip4:192.0.2.7 of good.net")
    assert told("v=spf1 redirect=good.net -all", "192.0.2.7", zone).result == "fail"


def test_two_records_are_an_error_and_none_is_none() -> None:
    dns = Dns({("example.com", "TXT"): ("v=spf1 +all", "v=spf1 +all")})
    assert evaluate(ip_address("192.0.2.1"), "example.com", dns).result == "permerror"
    assert evaluate(ip_address("192.0.2.1"), "example.com", Dns({})).result == "none"
    assert evaluate(ip_address("192.0.2.1"), "localhost", Dns({})).result == "none"
    assert evaluate(ip_address("192.0.2.1"), f"{'a' * 64}.com", Dns({})).result == "none"


def test_who_does_not_answer_is_no_judgement() -> None:
    zone = {("example.com", "TXT"): ("v=spf1 include:slow.net a:slow.org +all",), ("slow.net", "TXT"): ("v=spf1",)}
    for fails in ("example.com", "slow.net", "slow.org"):
        found = evaluate(ip_address("192.0.2.1"), "example.com", Dns(zone, (fails,)))
        assert found.result == "temperror" and "SERVFAIL" in found.why
    ptr = Dns({("example.com", "TXT"): ("v=spf1 ptr +all",)}, ("1.2.0.192.in-addr.arpa",))
    assert evaluate(ip_address("192.0.2.1"), "example.com", ptr).result == "pass"  # RFC 7208 §5.5


# --- limits (RFC 7208 §4.6.4)


def test_ten_lookups_are_allowed_and_no_more() -> None:
    zone = {(f"a{n}.net", "A"): ("192.0.2.200",) for n in range(20)}
    for count, result in ((LOOKUPS, "pass"), (LOOKUPS + 1, "permerror")):
        terms = " ".join(f"a:a{n}.net" for n in range(count))
        found = told(f"v=spf1 {terms} ip4:192.0.2.1", "192.0.2.1", zone)
        assert found.result == result, found
    assert found.lookups == LOOKUPS + 1
    terms = " ".join(f"ip4:10.0.0.{n}" for n in range(200))
    assert told(f"v=spf1 {terms} ip4:192.0.2.1", "192.0.2.1", zone).lookups == 0


def test_two_names_may_be_void() -> None:
    assert told("v=spf1 a:x.net a:y.net ip4:192.0.2.1", "192.0.2.1").result == "pass"
    found = told("v=spf1 a:x.net mx:y.net exists:z.net ip4:192.0.2.1", "192.0.2.1")
    assert found.result == "permerror" and "do not exist" in found.why


def test_mx_of_a_name_are_at_most_ten() -> None:
    zone = {
        ("many.net", "MX"): tuple(f"10 mx{n}.many.net." for n in range(11)),
        ("ten.net", "MX"): tuple(f"10 mx{n}.many.net." for n in range(10)),
        **{(f"mx{n}.many.net", "A"): (f"192.0.2.{n}",) for n in range(11)},
    }
    assert told("v=spf1 mx:ten.net", "192.0.2.9", zone).result == "pass"
    assert told("v=spf1 mx:many.net", "192.0.2.1", zone).result == "permerror"
    null = {("null.net", "MX"): ("0 .",)}
    assert told("v=spf1 mx:null.net -all", "192.0.2.1", null).result == "fail"


@pytest.mark.parametrize("record", ["v=spf1 include:example.com", "v=spf1 redirect=example.com", "v=spf1 include:%{d}"])
def test_loops_end(record: str) -> None:
    dns = Dns({("example.com", "TXT"): (record,)})
    found = evaluate(ip_address("192.0.2.1"), "example.com", dns)
    assert found.result == "permerror" and len(dns.asked) <= LOOKUPS + 1


def test_a_tree_of_includes_ends() -> None:
    wide = "v=spf1 " + " ".join(f"include:{n}.net" for n in range(300))

    def everywhere(name: str, kind: AskedKind) -> Answer:
        asked.append(name)
        return Answer((wide,))

    asked: list[str] = []
    assert evaluate(ip_address("192.0.2.1"), "example.com", everywhere).result == "permerror"
    assert len(asked) <= LOOKUPS + 1


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 " + "a" * 60_000,
        "v=spf1 " + "a " * 8_000,
        "v=spf1 include:" + "a" * 16_000,
        "v=spf1 include:" + "%{d}" * 3_000 + ".com",
        "v=spf1 a:" + "/1" * 7_000,
        "v=spf1 exists:" + "%{d.........." * 1_000,
        "v=spf1 " + "x=" * 8_000,
        "v=spf1 exists:" + "1" * 8_000 + "." + "9" * 7_000,
        "v=spf1 exists:%{s255r.-+,/_=}.com",
        "v=spf1 \x00\x1b[2J",
    ],
)
def test_hostile_records_are_read_in_bounded_work(record: str) -> None:
    assert told(record, "192.0.2.1").result in ("permerror", "neutral")


def test_answers_that_are_lies_match_nothing() -> None:
    zone = {
        ("a.net", "A"): ("nonsense", "", "192.0.2.1/0", "999.1.1.1", "::1"),
        ("m.net", "MX"): ("", "10", "nonsense", "x y z"),
        ("1.2.0.192.in-addr.arpa", "PTR"): ("", ".", "a" * 300, "..", "example.com."),
    }
    for term in ("a:a.net", "a:a.net/24", "mx:m.net", "ptr"):
        assert told(f"v=spf1 {term} -all", "192.0.2.1", zone).result in ("fail", "permerror")


# --- macros


@pytest.mark.parametrize(
    ("spec", "expansion"),
    [
        # RFC 7208 §7.4
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{S}%%%_%-", "strong-bad%40email.example.com% %20"),
    ],
)
def test_the_macros_of_the_rfc(spec: str, expansion: str) -> None:
    values = {"s": "strong-bad@email.example.com", "l": "strong-bad", "o": "email.example.com"}
    values |= {"d": "email.example.com", "i": "192.0.2.3", "v": "in-addr"}
    assert expanded(spec, values.__getitem__) == expansion


def test_macros_are_asked_for() -> None:
    zone = {
        ("1.2.0.192.in-addr._spf.example.com", "A"): ("127.0.0.2",),
        ("mail.example.com.helo.example.com", "A"): ("127.0.0.2",),
        ("alice.users.example.com", "A"): ("127.0.0.2",),
        (".".join(reversed("20010db8000000000000000000000001")) + ".ip6.example.com", "A"): ("127.0.0.2",),
        ("amy.example.com.p.example.com", "A"): ("127.0.0.2",),
        **EXAMPLE,
    }
    assert told("v=spf1 exists:%{ir}.%{v}._spf.%{d} -all", "192.0.2.1", zone).result == "pass"
    assert told("v=spf1 exists:%{h}.helo.%{o} -all", "192.0.2.1", zone, helo="mail.example.com").result == "pass"
    assert told("v=spf1 exists:%{ir}.%{v}.%{d} -all", "2001:db8::1", zone).result == "pass"
    assert told("v=spf1 exists:%{p}.p.%{d} -all", "192.0.2.65", zone).result == "pass"
    found = told("v=spf1 exists:%{l}.users.%{d} -all", "192.0.2.1", zone, local="alice")
    assert (found.result, found.by_sender) == ("pass", True)
    assert told("v=spf1 exists:%{l}.users.%{d} -all", "192.0.2.1", zone, local="bob").result == "fail"
    assert not told("v=spf1 ip4:192.0.2.1 exists:%{l}.users.%{d} -all", "192.0.2.1", zone).by_sender


# --- all of it

_WORDS = "all a mx ptr include: exists: redirect= ip4: ip6: example.com b.net %{ } %% d s ir /24 //64 + - ~ ? . :"
_PIECES = st.sampled_from([*_WORDS.split(), " ", "192.0.2.1", "2001:db8::", "v=spf1 ", "\x00", "\u00e9"])


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=30), st.lists(st.text(max_size=20), max_size=12), st.booleans())
def test_whatever_dns_says_an_evaluation_ends(pieces: list[str], lies: list[str], six: bool) -> None:
    def liar(name: str, kind: AskedKind) -> Answer:
        asked.append(name)
        return Answer((f"v=spf1 {''.join(pieces)}",) if kind == "TXT" else tuple(lies))

    asked: list[str] = []
    found = evaluate(ip_address("2001:db8::1" if six else "192.0.2.1"), "example.com", liar)
    assert found.result in ("pass", "fail", "softfail", "neutral", "none", "permerror")
    assert len(asked) <= 1 + (LOOKUPS + 1) * 24


@given(st.text(max_size=200))
def test_a_record_is_valid_or_it_is_said_what_is_not(text: str) -> None:
    try:
        parsed(f"v=spf1 {text}")
    except Syntax as wrong:
        assert str(wrong)


def test_a_term_is_added_where_it_is_reached() -> None:
    assert with_term("v=spf1 mx ~all", "ip4:192.0.2.1") == "v=spf1 mx ip4:192.0.2.1 ~all"
    assert with_term("v=spf1 mx -ALL exp=x.y", "a") == "v=spf1 mx a -ALL exp=x.y"
    assert with_term("v=spf1 redirect=x.net", "a") == "v=spf1 a redirect=x.net"
    assert with_term("v=spf1", "a") == "v=spf1 a"
