"""How signing stands, case by case: by what hosts have made and what DNS has of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from report_schema import require
from test_deliverability_pure import HOST, RELAY, Dns, Zone

from mailprov import deliverability
from mailprov.connection import Host
from mailprov.deliverability import Finding, signatures
from mailprov.dns import Keys
from mailprov.errors import ConnectError
from mailprov.model import Domain, HostSpec, KeyPair, Outgoing, Signing, Spec
from mailprov.model.signing import Use
from mailprov.report import deliverability as report
from mailprov.report import junit
from mailprov.workflows import deliverability as workflow
from mailprov.workflows import session

ED25519 = base64.b64encode(b"e" * 32).decode()


@cache
def public(bits: int) -> str:
    """The public half of an RSA key, as DNS shows it."""
    key = rsa.generate_private_key(65537, bits).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()


def pair(use: Use = "signs", number: int = 1, host: str = "mail1", bits: int = 2048, *, intact: bool = True) -> KeyPair:
    halves = (("rsa", public(bits)), ("ed25519", ED25519))
    return KeyPair("example.com", f"{host}-{number}", use, 1, halves, intact)


def zone(*pairs: KeyPair) -> Zone:
    return {(name, "TXT"): (text,) for each in pairs for name, text in each.records}


def judged(keys: Sequence[KeyPair] | str | None, more: Zone, host: HostSpec = HOST) -> Mapping[str, list[Finding]]:
    """What is found of a domain that is signed, by subject."""
    (domain,) = looked_at({} if keys is None else {host.name: keys}, Dns(more), (host,))[1]
    found: dict[str, list[Finding]] = {}
    for finding in domain.findings:
        found.setdefault(finding.about, []).append(finding)
    return found


def looked_at(
    keys: Keys, dns: Dns, hosts: tuple[HostSpec, ...] = (HOST,)
) -> tuple[list[deliverability.HostJudged], list[deliverability.DomainJudged]]:
    return deliverability.judge(declared(*hosts), hosts, dns, keys=keys)


def declared(*hosts: HostSpec) -> Spec:
    domain = Domain("example.com", tuple(host.name for host in hosts), sign=Signing())
    return Spec({host.name: host for host in hosts}, {"example.com": domain}, (), ())


R1, E1, R2 = "mail1-1r._domainkey.example.com", "mail1-1e._domainkey.example.com", "mail1-2r._domainkey.example.com"
NOTHING: Zone = {(R1, "TXT"): (), (E1, "TXT"): ()}
OTHER: Zone = {(R1, "TXT"): (f"v=DKIM1; k=rsa; p={ED25519}",)}
CASES: list[tuple[list[KeyPair] | str | None, Zone, list[tuple[str, str, str]], str]] = [
    # what is known of the keys, what DNS has otherwise, the findings (standing, what, record), what it comes to
    ([pair()], {}, [("pass", "signs mail from example.com with mail1-1", "")], "pass"),
    ([pair()], OTHER, [("fail", f"{R1}: another key is there", f"{R1}. TXT ")], "fail"),
    ([pair()], {(R1, "TXT"): ("v=DKIM1; p=",)}, [("fail", "revoked", f"{R1}. TXT ")], "fail"),
    ([pair()], {(R1, "TXT"): (f"v=DKIM1; p={public(2048)}",) * 2}, [("fail", "2 of them", R1)], "fail"),
    ([pair()], {(R1, "TXT"): (f"t=y; p={public(2048)}",)}, [("warning", "tried out", R1)], "pass"),
    (
        [pair()],
        NOTHING,
        [("fail", f"do not find: {R1} is not there", f'{R1}. TXT "v=DKIM1; k=rsa; p='), ("warning", E1, f"{E1}. TXT ")],
        "fail",
    ),
    ([pair()], {(E1, "TXT"): ()}, [("pass", "2,048 bits", ""), ("warning", "few receivers", E1)], "pass"),
    ([pair(bits=1024)], {}, [("warning", "1,024 bits, which is too short", "")], "pass"),
    (
        [replace(pair(), public=(("rsa", ED25519), ("ed25519", ED25519)))],
        *({}, [("fail", "0 bits, which is too short", "")], "fail"),
    ),
    ([pair(intact=False)], {}, [("fail", "not as it made them", ""), ("pass", "2,048", "")], "fail"),
    ([], {}, [("warning", "no keys", "")], "fail"),
    ([pair("retired")], {}, [("warning", "no keys", "")], "fail"),
    ([replace(pair(), domain="other.example")], {}, [("warning", "no keys", "")], "fail"),
    ([pair("waits")], {}, [("warning", "DNS has it by now", "")], "fail"),
    (
        [pair("waits")],
        *(NOTHING, [("warning", f"waits: {R1} is not there", R1), ("warning", f"waits: {E1}", E1)], "fail"),
    ),
    (
        [pair(), pair("waits", 2)],
        {(R2, "TXT"): ()},
        [("pass", "with mail1-1", ""), ("warning", f"mail1-2 to sign mail from example.com, and waits: {R2}", R2)],
        "pass",
    ),
    ([pair("signed"), pair(number=2)], {}, [("pass", "with mail1-2", "")], "pass"),
    (
        [pair("signed"), pair(number=2)],
        {(R1, "TXT"): ()},
        [("warning", f"under way: {R1} is not there", f"{R1}. TXT "), ("pass", "with mail1-2", "")],
        "pass",
    ),
    ("nobody answers", {}, [("untold", "keys are not known here (nobody answers)", "")], "untold"),
    (None, {}, [("untold", "it was not asked", "")], "untold"),
]


@pytest.mark.parametrize(("keys", "more", "wanted", "outcome"), CASES)
def test_each_case(
    keys: list[KeyPair] | str | None, more: Zone, wanted: list[tuple[str, str, str]], outcome: str
) -> None:
    there = zone(*keys) if isinstance(keys, list) else {}
    found = judged(keys, {**there, **more})["dkim"]
    assert len(found) == len(wanted), found
    for finding, (standing, what, record) in zip(found, wanted, strict=True):
        assert (finding.standing, what in finding.what, record in finding.record) == (standing, True, True), finding
        assert bool(finding.fix) == (standing != "pass") and not finding.unanswered, finding
        assert bool(record) == bool(finding.record), finding
    assert deliverability.words.worst(each.outcome for each in found) == outcome


def test_no_answer_of_dns_is_no_judgement() -> None:
    dns = Dns(zone(pair()), silent=(R1,))
    _, (domain,) = looked_at({"mail1": [pair()]}, dns)
    found = [finding for finding in domain.findings if finding.about == "dkim"]
    assert [(each.standing, each.unanswered) for each in found] == [("untold", f"{R1}: SERVFAIL")]
    waits = looked_at({"mail1": [pair("waits")]}, dns)[1][0].findings
    assert [each.standing for each in waits if each.about == "dkim"] == ["untold"], "it is not said to be there"


def test_who_is_signed_is_aligned_by_either_comparison() -> None:
    broken: Zone = {**zone(pair()), ("example.com", "TXT"): ("v=spf1 -all",)}
    (found,) = judged([pair()], broken)["alignment"]
    assert (found.standing, "what signs is example.com (d=)" in found.what) == ("pass", True)
    _, (domain,) = looked_at({"mail1": [pair()]}, Dns(broken))
    rules = {(each.receiver.name, each.rule.name): each.outcome for each in domain.rulings}
    assert (rules["Gmail", "authentication"], rules["Gmail", "DMARC"], rules["QQ", "DKIM"]) == ("pass", "pass", "pass")
    assert rules["Gmail", "authentication of bulk"] == "fail", "that wants SPF, too"
    waits = judged([pair("waits")], broken)["alignment"]
    assert [each.outcome for each in waits] == ["fail"]


def test_a_strict_policy_is_right_for_what_is_signed() -> None:
    strict: Zone = {("_dmarc.example.com", "TXT"): ("v=DMARC1; p=reject",)}
    assert judged([pair()], {**zone(pair()), **strict})["dmarc"][0].standing == "pass"
    (found,) = judged([pair("waits")], strict)["dmarc"]
    assert (found.standing, found.fix) == ("warning", "p=none until mail is signed")
    assert judged("nobody answers", strict)["dmarc"][0].standing == "pass"


def test_through_a_relay_the_signature_may_not_survive() -> None:
    relayed = replace(HOST, outgoing=Outgoing(relay=RELAY))
    found = judged([pair()], zone(pair()), relayed)["dkim"]
    assert [each.standing for each in found] == ["pass", "untold"] and "smtp.relay.example leaves" in found[1].what
    assert judged([pair()], NOTHING, relayed)["dkim"][0].standing == "fail"


def test_each_host_signs_with_keys_of_its_own() -> None:
    other = replace(HOST, name="mail2", hostname="mx.example.com")
    keys = {"mail1": [pair()], "mail2": [pair("waits", host="mail2")]}
    _, (domain,) = looked_at(keys, Dns(zone(*keys["mail1"])), (HOST, other))
    found = [finding for finding in domain.findings if finding.about == "dkim"]
    assert [each.standing for each in found] == ["pass", "warning", "warning"]
    assert {each.outcome for each in found} == {"pass", "fail"}, "one that does not sign is enough"


def test_only_what_is_needed_is_asked() -> None:
    keys: Keys = {"mail1": [pair(), pair("retired", 2), replace(pair(), domain="x.example")], "mail2": "not known"}
    spec = declared(HOST)
    (first, *_) = deliverability.questions(spec, (HOST,), Dns(), keys)
    assert [name for name, _ in first if "_domainkey" in name] == [R1, E1]
    assert deliverability.signers(spec, (HOST,)) == [HOST]
    plain = replace(spec, domains={"example.com": Domain("example.com", ("mail1",))})
    assert deliverability.signers(plain, (HOST,)) == []
    (first, *_) = deliverability.questions(plain, (HOST,), Dns(), keys)
    assert not [name for name, _ in first if "_domainkey" in name]


@pytest.mark.parametrize("bits", [1024, 2048, 3072])
def test_the_length_of_a_key(bits: int) -> None:
    assert signatures.rsa_bits(public(bits)) == bits


@given(st.text(max_size=40) | st.binary(max_size=80).map(lambda data: base64.b64encode(data).decode()))
def test_what_is_no_key_has_no_length(text: str) -> None:
    assert signatures.rsa_bits(text) >= 0


@given(st.integers(0, 293), st.integers(0, 255))
def test_a_damaged_key_is_borne(at: int, byte: int) -> None:
    data = bytearray(base64.b64decode(public(2048)))
    data[at] = byte
    assert signatures.rsa_bits(base64.b64encode(data).decode()) >= 0
    assert signatures.rsa_bits(base64.b64encode(data[:at]).decode()) >= 0


# --- reports


def test_each_form_tells_it() -> None:
    seen, domains = looked_at({"mail1": [pair()]}, Dns(NOTHING))
    text = "\n".join(line.text for line in report.text(seen, domains, []))
    assert f"  FAIL      mail1 signs with a key that receivers do not find: {R1} is not there" in text
    assert f'{R1}. TXT "v=DKIM1; k=rsa; p=' in text
    assert text.index("FAIL ") < text.index("warning ")
    told = json.loads(report.as_json(seen, domains, [], fails=True))
    require(told)
    dkim = [each for each in told["domains"][0]["findings"] if each["about"] == "dkim"]
    assert [(each["standing"], each["cure"]) for each in dkim] == [("fail", "add it"), ("warning", "add it")]
    assert f"- ❌ `example.com`: mail1 signs with a key that receivers do not find: {R1}" in report.as_markdown(
        seen, domains, []
    ).replace("\\", "")
    root = etree.fromstring(junit.junit(report.suites(seen, domains, [])).encode())
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failed == ["dkim"], "bulk senders' rules fail nobody else"


def test_what_cannot_be_asked_is_skipped_and_fails_nothing() -> None:
    seen, domains = looked_at({"mail1": "the host is asleep"}, Dns())
    lines = [line.text for line in report.text(seen, domains, [])]
    assert any(line.startswith("  not told  ") and "the host is asleep" in line for line in lines)
    assert "❔" in report.as_markdown(seen, domains, [])
    root = etree.fromstring(junit.junit(report.suites(seen, domains, [])).encode())
    assert "dkim" in {case.get("name") for case in root.iter("testcase") if case.find("skipped") is not None}
    assert not list(root.iter("failure"))


# --- who is asked


def test_hosts_are_asked_for_their_keys_and_bear_not_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer is one finding; nothing else is missing, and it is no failure."""
    asked: list[str] = []

    def begin(host: HostSpec) -> Host:
        asked.append(host.name)
        raise ConnectError("no route to it", where=host.name, fix="go there")

    monkeypatch.setattr(session, "begin", begin)
    monkeypatch.setattr(workflow, "ask", lambda questions, _: {each: Dns()(*each) for each in questions})
    found = workflow.deliverability(declared(HOST), (HOST,), None)
    assert (asked, found.failures, found.fails) == (["mail1"], [], False)
    standings = {finding.about: finding.standing for finding in found.domains[0].findings}
    assert standings == {"spf": "pass", "dkim": "untold", "dmarc": "pass", "alignment": "pass", "mx": "pass"}
    assert "(no route to it)" in next(each.what for each in found.domains[0].findings if each.about == "dkim")


def test_keys_are_read_from_hosts_and_compared_with_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "public_keys", lambda spec, chosen, observer: ({"mail1": [pair()]}, []))
    for there, standing in ((zone(pair()), "pass"), (NOTHING, "fail")):
        dns = Dns(there)
        monkeypatch.setattr(workflow, "ask", lambda questions, _, dns=dns: {each: dns(*each) for each in questions})
        found = workflow.deliverability(declared(HOST), (HOST,), None)
        first = next(each for each in found.domains[0].findings if each.about == "dkim")
        assert (first.standing, found.fails) == (standing, standing == "fail")
