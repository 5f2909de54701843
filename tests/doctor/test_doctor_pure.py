"""From observations to causes: tables of what was seen, and what a hostile host may say."""

from __future__ import annotations

import json
import socket
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov import assets
from mailprov.checks import Cause as Why
from mailprov.checks import Check, Endpoint
from mailprov.checks.cause import cause_of
from mailprov.doctor import CAUSES, HostReport, Look, diagnosis, host_report
from mailprov.doctor.firewall import barrier
from mailprov.doctor.host_report import Disk, Mailbox, queries
from mailprov.doctor.log import events
from mailprov.doctor.own import own
from mailprov.doctor.table import RANK
from mailprov.engine import probe
from mailprov.model import Allow
from mailprov.model.mail_queue import MailQueue
from mailprov.report import json as as_json
from mailprov.report import markdown, text
from mailprov.standard import REGISTRY

USER = "alice@example.com"
HERE, THERE = "192.0.2.5", "198.51.100.7"
IMAPS = Endpoint("imap", "tls", "192.0.2.10", 993, "mail.example.com")
POP3S = Endpoint("pop3", "tls", "192.0.2.10", 995, "mail.example.com")
UP = {"dovecot.service": "active", "postfix.service": "active"}
FINE = HostReport(clock=1000, states=UP, ports=frozenset({993, 995}), mailbox=Mailbox(True), asker=HERE)


def met(cause: Why, step: str = "connect", endpoint: Endpoint = IMAPS, severity: str = "error") -> Check:
    return Check(endpoint, step, False, 0.1, f"evidence of {cause}", severity, cause)  # type: ignore[arg-type]


def look(*checks: Check, **more: Any) -> Look:
    well = Check(IMAPS, "dns", True, 0.0, "")
    return Look((well, *checks), **{"sources": frozenset({HERE}), "began": 990, "clock": 1000, "user": USER, **more})


def names(seen: Look, said: HostReport | None) -> list[str]:
    return [finding.cause.name for finding in diagnosis(seen, said).findings]


def nft(policy: str, *rules: list[dict[str, Any]], table: str = "mailprov", hook: str = "input") -> str:
    base = {"family": "inet", "table": table, "name": "input", "type": "filter", "hook": hook, "policy": policy}
    listed = [{"rule": {"family": "inet", "table": table, "chain": "input", "expr": rule}} for rule in rules]
    return json.dumps({"nftables": [{"metainfo": {}}, {"chain": base}, *listed]})


def dport(port: object) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}}


def saddr(*networks: str) -> dict[str, Any]:
    nets = [{"prefix": {"addr": net.split("/")[0], "len": int(net.split("/")[1])}} for net in networks]
    return {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"set": nets}}}


MARKED: dict[str, Any] = {"match": {"left": {"meta": {"key": "mark"}}, "right": 1, "op": "=="}}
ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}
OPEN = nft("drop", [dport(993), ACCEPT], [dport(995), ACCEPT])
CLOSED = nft("drop", [dport(25), ACCEPT])
OTHERS = nft("accept", [dport(993), {"reject": {"type": "tcp reset"}}], table="filter")


def waiting(*reasons: str) -> HostReport:
    """A host with mail in its queue."""
    return HostReport(states=UP, queue=MailQueue(len(reasons), 1000, tuple((each, 1) for each in reasons)))


def log(kind: str, client: str = THERE, at: float = 995, user: str = USER, session: str = "x") -> str:
    said = {
        "wrong": f"auth: passwd-file({user},{client},<x>): Password mismatch",
        "unknown": f"auth: passwd-file({user},{client},<x>): unknown user",
        "nets": f"auth: passwd-file({user},{client},<x>): allow_nets check failed: IP {client} not in allowed networks",
        "many": f"imap-login: Maximum number of connections from user+IP exceeded: user=<{user}>, rip={client}, TLS",
        "in": f"imap-login: Login: user=<{user}>, method=PLAIN, rip={client}, lip=192.0.2.10, TLS, session=<{session}>",
        "old": f"imap-login: Disconnected (no auth attempts): user=<>, rip={client}, TLS handshaking: SSL_accept() "
        "failed: error:0A000102:SSL routines::unsupported protocol",
        "distrust": f"postfix/smtpd: warning: TLS library problem from x[{client}]: error:14094418:SSL routines:x",
        "limit": f"postfix/smtpd: 4A: milter-reject: END-OF-MESSAGE from x[{client}]: 4.7.1 {user} may send 9 messages "
        f"an hour: try again in 5 seconds; from=<{user}> to=<other@example.net> proto=ESMTP helo=<x>",
        "full": f"postfix/smtpd: NOQUEUE: reject: RCPT from x[{client}]: 552 5.2.2 Mailbox is full; to=<{user}>",
    }
    return f"{at:.6f} mail dovecot[1]: {said[kind]}\n"


def mailbox(**more: Any) -> HostReport:
    return HostReport(clock=1000, states=UP, ports=FINE.ports, mailbox=Mailbox(True, **more), asker=HERE)


def saying(*lines: str, **more: Any) -> HostReport:
    return HostReport(
        clock=more.get("clock", 1000),
        states=UP,
        ports=FINE.ports,
        mailbox=more.get("box", Mailbox(True)),
        asker=HERE,
        events=events("".join(lines)),
    )


ENTERED = Check(IMAPS, "login", True, 0.1, "is in")
NOT_TRIED = met(Why.NOT_TESTED, "login", severity="warning")
REFUSED = met(Why.LOGIN_REFUSED, "login")
NARROW = (Allow(993, (ip_network("10.0.0.0/8"),)),)
ELSEWHERE = {"networks": (ip_network("203.0.113.0/24"),)}

TABLE = [
    # what a client knows by itself
    (look(met(Why.DNS, "dns")), None, ["dns-no-name"]),
    (look(met(Why.RESOLVER, "dns")), None, ["dns-no-answer"]),
    (look(met(Why.UNREACHABLE, "route")), None, ["no-route"]),
    (look(met(Why.REFUSED)), None, ["refused"]),
    (look(met(Why.CONNECT_TIMEOUT)), None, ["timeout"]),
    (look(met(Why.CONNECT_TIMEOUT), allow=NARROW), None, ["firewall-ours"]),
    (look(missing=("pop3",)), None, ["not-declared"]),
    (look(met(Why.SILENT, "greeting")), None, ["silent"]),
    (look(met(Why.RESET, "tls")), None, ["dropped"]),
    (look(met(Why.TLS_EXPECTED, "greeting")), None, ["tls-from-the-start"]),
    (look(met(Why.NOT_TLS, "tls")), None, ["cleartext-first"]),
    (look(met(Why.SERVER_TLS_OLD, "tls")), None, ["server-tls-old"]),
    (look(met(Why.CLIENT_TLS_OLD, "tls")), None, ["client-tls-old"]),
    (look(met(Why.NO_SHARED_CIPHER, "tls")), None, ["no-shared-cipher"]),
    (look(met(Why.SELF_SIGNED, "chain", severity="warning")), None, ["self-signed"]),
    (look(met(Why.UNKNOWN_CA, "chain")), None, ["unknown-ca"]),
    (look(met(Why.MISSING_INTERMEDIATE, "chain")), None, ["missing-intermediate"]),
    (look(met(Why.EXPIRED, "certificate"), met(Why.EXPIRED, "chain")), None, ["expired"]),
    (look(met(Why.NOT_YET_VALID, "certificate")), None, ["not-yet-valid"]),
    (look(met(Why.WRONG_NAME, "name"), met(Why.EXPIRED, "certificate")), None, ["expired", "wrong-name"]),
    (look(met(Why.NO_STARTTLS, "starttls")), None, ["no-starttls"]),
    (look(met(Why.LOGIN_NEEDS_TLS, "capability")), None, ["login-needs-tls"]),
    (look(met(Why.OLD_TLS, "old tls refused")), None, ["old-tls-accepted"]),
    (look(met(Why.NOT_TESTED, "capability", severity="warning")), None, []),
    (look(REFUSED), None, ["login-refused"]),
    (look(REFUSED, given=frozenset({"pop3"})), None, ["protocol-not-allowed"]),
    (look(given=frozenset({"pop3"})), None, ["protocol-not-allowed"]),
    (look(given=frozenset({"imap"})), None, []),
    (Look((), user=USER, given=frozenset()), None, ["protocol-not-allowed"]),
    (look(met(Why.IN_USE, "login")), None, ["mailbox-in-use"]),
    (look(met(Why.TEMPORARY, "login")), None, ["temporary"]),
    # what only the host knows
    (look(), FINE, []),
    (look(met(Why.CONNECT_TIMEOUT)), HostReport(states=UP, ports=FINE.ports, ruleset=CLOSED), ["firewall-ours"]),
    (look(met(Why.CONNECT_TIMEOUT)), HostReport(states=UP, ports=FINE.ports, ruleset=OPEN), ["network-between"]),
    (look(met(Why.REFUSED)), HostReport(states=UP, ports=FINE.ports, ruleset=OTHERS), ["firewall-other"]),
    (look(met(Why.UNREACHABLE)), HostReport(states=UP, ports=FINE.ports, ruleset=OTHERS), ["firewall-other"]),
    (look(met(Why.REFUSED)), HostReport(states=UP), ["not-listening"]),
    (look(met(Why.REFUSED)), HostReport(states={"dovecot.service": "failed"}), ["service-down"]),
    (
        look(client=THERE),
        HostReport(states=UP, ruleset=nft("drop", [saddr("192.0.2.0/24"), ACCEPT])),
        ["firewall-ours"],
    ),
    (look(REFUSED), saying(log("wrong", HERE)), ["wrong-password"]),
    (look(REFUSED), saying(log("nets", HERE)), ["blocked-by-allow-from"]),
    (look(REFUSED), mailbox(**ELSEWHERE), ["blocked-by-allow-from"]),
    (look(REFUSED), mailbox(denied=frozenset({"imap"})), ["protocol-not-allowed"]),
    (look(REFUSED), saying(box=Mailbox(False)), ["unknown-user"]),
    (look(REFUSED), saying(log("wrong", THERE)), ["wrong-password", "login-refused"]),
    # behind the address from which this machine comes, too: told by time and session
    (look(), saying(log("wrong", HERE, at=900)), ["wrong-password"]),
    (look(), saying(log("wrong", HERE)), ["wrong-password"]),  # no login was tried here meanwhile
    (look(ENTERED), saying(log("wrong", HERE, at=900), log("in", HERE, at=999)), ["wrong-password"]),
    (look(ENTERED), saying(log("in", HERE, at=994, session="m"), log("wrong", HERE, at=996)), ["wrong-password"]),
    (look(ENTERED), saying(log("wrong", HERE, at=900), log("in", HERE, at=950), log("in", HERE, at=999)), []),
    (look(REFUSED), saying(log("wrong", HERE, at=994), log("wrong", HERE, at=994)), ["wrong-password"]),
    (look(), saying(log("wrong", HERE, at=900), log("in", THERE, at=999)), ["wrong-password"]),  # another device
    (look(), saying(log("wrong", HERE, at=4500), clock=4600), ["clock-wrong", "wrong-password"]),
    (look(client=HERE), saying(log("old", HERE, at=900)), ["client-tls-old"]),
    (look(), saying(log("in", HERE, at=900), log("old", HERE, at=901)), []),
    (look(NOT_TRIED), saying(log("wrong", HERE)), ["wrong-password"]),
    (look(), saying(log("many", HERE, at=900)), ["too-many-connections"]),
    (look(), saying(log("nets", HERE, at=900)), ["blocked-by-allow-from"]),
    (look(), saying(log("wrong")), ["wrong-password"]),
    (look(), saying(log("wrong"), log("in", at=999)), []),
    (look(), saying(log("unknown")), []),
    (look(), saying(log("unknown"), box=Mailbox(False)), ["unknown-user"]),
    (look(), saying(log("wrong", user="bob@example.com")), []),
    (look(), saying(log("nets")), ["blocked-by-allow-from"]),
    (look(), mailbox(**ELSEWHERE), []),
    (look(client=THERE), mailbox(**ELSEWHERE), ["blocked-by-allow-from"]),
    (look(client="203.0.113.9"), mailbox(**ELSEWHERE), []),
    (look(), saying(log("old")), []),
    (look(), saying(log("in"), log("old")), ["client-tls-old"]),
    (look(client=THERE), saying(log("distrust")), ["certificate-distrusted"]),
    (look(), saying(log("old", HERE)), []),
    (look(met(Why.IN_USE, "login")), saying(log("many", HERE)), ["too-many-connections"]),
    (
        look(met(Why.TEMPORARY, "login")),
        mailbox(sessions={("imap", THERE): 10}, most={"imap": 10}),
        ["too-many-connections"],
    ),
    (
        look(met(Why.PERMANENT, "login")),
        mailbox(sessions={("imap", HERE): 10}, most={"imap": 10}),
        ["too-many-connections"],
    ),
    (look(met(Why.PERMANENT, "login")), FINE, ["permanent"]),
    (look(met(Why.IN_USE, "login", POP3S)), mailbox(locks=True), ["mailbox-locked"]),
    (look(), mailbox(limit=1000, used=990), ["quota-full"]),
    (look(), mailbox(limit=1000, used=900), []),
    (look(), saying(log("full")), ["quota-full"]),
    (look(user=""), saying(log("limit"), log("limit", user="bob@example.com")), ["sending-limit"]),
    (look(), HostReport(states=UP, disks=(Disk("/var/vmail", 1000, 0),)), ["disk-full"]),
    (look(), HostReport(states=UP, disks=(Disk("/", 10**8, 10**7, 10**6, 5),)), ["disk-full"]),
    (look(), HostReport(states=UP, disks=(Disk("/", 1000, 500, 0, 0), Disk("/x", 10**8, 10**4, 10**6, 10**4))), []),
    (look(), HostReport(clock=4600, states=UP), ["clock-wrong"]),
    (look(), HostReport(clock=1060, states=UP), []),
    (look(), waiting("SASL authentication failed; server mx.test[192.0.2.1] said: 535 no"), ["relay-login"]),
    (look(), waiting("Server certificate not verified", "Server certificate not trusted"), ["relay-certificate"]),
    (look(), waiting("connect to mx.test[192.0.2.1]:25: Connection timed out"), ["mail-waits"]),
    (
        look(),
        waiting(
            "connect to mx.test[192.0.2.1]:25: Connection timed out",
            "connect to b.test[2001:db8::1]:25: Network is unreachable",
        ),
        ["outgoing-blocked"],
    ),
    (look(), waiting("connect to mx.test[192.0.2.1]:587: Connection refused"), ["relay-unreachable"]),
    (look(), waiting("host mx.test[192.0.2.1] said: 450 later", "450 busy"), ["mail-waits"]),
    (look(), waiting("host mx.test[192.0.2.1] said: 451 SASL authentication failed"), ["mail-waits"]),
    (
        look(),
        waiting(*(f"host mx said: 451 connect to {n}.test[192.0.2.1]:25: Connection timed out" for n in "ab")),
        ["mail-waits"],
    ),
    (look(), waiting(*(f"connect to {n}.test[192.0.2.1]:25: Connection refused" for n in "ab")), ["mail-waits"]),
    (look(), waiting("relayhost configuration problem"), ["relay-unreachable"]),
    (look(), waiting(), []),
    (look(), HostReport(states=UP, queue=MailQueue(1, 1000)), ["mail-waits"]),
    (look(resolved=("203.0.113.1",), address="192.0.2.10"), HostReport(states=UP), ["dns-elsewhere"]),
    (look(resolved=("192.0.2.10",), address="mail1"), HostReport(states=UP, addresses=("192.0.2.10",)), []),
]


@pytest.mark.parametrize(("seen", "said", "found"), TABLE)
def test_observation_to_cause(seen: Look, said: HostReport | None, found: list[str]) -> None:
    assert names(seen, said) == found


def test_every_cause_is_complete_and_can_be_found() -> None:
    """Each is in the table, or in a test on a real host, or what is left over."""
    produced = {name for _, _, found in TABLE for name in found}
    by_rule = {"garbled", "injection", "tls-version", "client-certificate", "tls-failed", "certificate-refused"}
    by_rule |= {"other-certificate", "expires-soon", "cleartext-login", "no-mechanism", "permanent", "unexplained"}
    assert produced | by_rule == set(CAUSES)
    for cause in CAUSES.values():
        words = (cause.title, cause.known, cause.fix, cause.user, cause.user_zh)
        assert all(word and word.isprintable() for word in words), cause.name
        assert cause.user_zh.endswith("。") and cause.user.endswith((".", "!", "?")), cause.name
        assert not cause.title.endswith("."), cause.name


@pytest.mark.parametrize("why", [why for why in Why if why not in (Why.NONE, Why.NOT_TESTED)])
def test_whatever_fails_is_named(why: Why) -> None:
    """No failure of a client's walk is passed over in silence."""
    beside = (Why.OPEN_RELAY, Why.NOT_DELIVERED, Why.LEFT_BEHIND)  # a doctor sends no mail
    assert why in beside or diagnosis(look(met(why, "tls")), None).findings


def test_order_is_the_way_of_a_client() -> None:
    everything = [met(why, "tls") for why in (Why.LOGIN_REFUSED, Why.EXPIRED, Why.DNS, Why.SELF_SIGNED)]
    found = names(look(*everything), None)
    assert found == sorted(found, key=RANK.__getitem__)
    assert found[0] == "dns-no-name"


def test_what_a_client_cannot_tell_is_said() -> None:
    assert len(diagnosis(look(), None, "why").undetermined) == 4
    assert len(diagnosis(look(user=""), None, "why").undetermined) == 2
    assert diagnosis(look(), FINE).undetermined == ()


def test_dns_causes_are_told_apart_by_number() -> None:
    assert cause_of(socket.gaierror(socket.EAI_AGAIN, "whatever")) is Why.RESOLVER
    assert cause_of(socket.gaierror(socket.EAI_NONAME, "whatever")) is Why.DNS


# --- nftables


@pytest.mark.parametrize(
    ("rules", "port", "source", "stopped"),
    [
        (OPEN, 993, HERE, False),
        (OPEN, 110, HERE, True),
        (nft("accept"), 993, HERE, False),
        (nft("drop", [dport({"set": [{"range": [990, 999]}]}), ACCEPT]), 993, HERE, False),
        (nft("drop", [saddr("192.0.2.0/24"), dport(993), ACCEPT]), 993, HERE, False),
        (nft("drop", [saddr("10.0.0.0/8"), dport(993), ACCEPT]), 993, HERE, True),
        (nft("drop", [saddr("10.0.0.0/8"), dport(993), ACCEPT]), 993, "2001:db8::1", True),
        (nft("accept", [dport(993), {"counter": {}}, DROP]), 993, HERE, True),
        (
            nft("accept", [{"match": {"left": {"meta": {"key": "mark"}}, "right": 1, "op": "=="}}, DROP]),
            993,
            HERE,
            False,
        ),
        (
            nft("drop", [{"match": {"left": {"meta": {"key": "iif"}}, "right": "lo", "op": "=="}}, ACCEPT]),
            993,
            HERE,
            True,
        ),
        (
            nft("drop", [{"match": {"left": {"ct": {"key": "state"}}, "right": ["established"], "op": "in"}}, ACCEPT]),
            993,
            HERE,
            True,
        ),
        (nft("drop", hook="forward"), 993, HERE, False),
        (nft("drop", [{"goto": {"target": "input"}}]), 993, HERE, True),
        ("", 993, HERE, False),
        ('{"nftables": 5}', 993, HERE, False),
        (OPEN, 993, "no address", False),
    ],
)
def test_barrier(rules: str, port: int, source: str, stopped: bool) -> None:
    assert (barrier(rules, port, source) is not None) is stopped


def test_our_own_table_is_known() -> None:
    ours, other = barrier(CLOSED, 993, HERE), barrier(OTHERS, 993, HERE)
    assert ours is not None and ours.ours and str(ours) == "inet mailprov input"
    assert other is not None and not other.ours


KEYS = ["match", "left", "right", "op", "payload", "set", "range", "jump", "target", "meta", "key"]
LEAVES = st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["input", "drop", "accept", "lo"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4), JSON)
def test_no_ruleset_breaks_it(expressions: list[Any], chain: Any) -> None:
    barrier(nft("drop", expressions, expressions[:1]), 993, HERE)
    barrier(json.dumps({"nftables": [{"chain": chain}, {"rule": chain}]}), 993, HERE)
    barrier(json.dumps(chain), 993, HERE)


# --- what a host says


@given(st.dictionaries(st.sampled_from(["circumstances", "services", "account", "log", "listeners"]), st.text()))
def test_no_answer_breaks_it(sections: dict[str, str]) -> None:
    said = host_report(sections, REGISTRY.units)
    shown = diagnosis(look(REFUSED), said)
    for line in text.diagnosis("mail1", (REFUSED,), shown, details=True):
        assert all(part.isprintable() for part in line.text.split("\t"))


def test_an_answer_is_read() -> None:
    said = host_report(
        {
            "circumstances": "clock 1700000000\nsynchronised no\nasker 192.0.2.5\naddresses 192.0.2.10 2001:db8::1 \n"
            "disk /var/vmail 1000 5 200 100\ndisk broken\n",
            "services": "Id=dovecot.service\nLoadState=loaded\nActiveState=failed\n\n"
            "Type=oneshot\nId=postfix.service\nLoadState=loaded\nActiveState=active\n\n"
            "Id=postfix@-.service\nLoadState=loaded\nActiveState=inactive\n",
            "listeners": 'LISTEN 0 100 0.0.0.0:993 0.0.0.0:* users:(("dovecot",pid=7,fd=2))\n'
            "process\t7\t0\t1\t/system.slice/dovecot.service\t\n",
            "account": "exists\nallow 10.0.0.0/8,2001:db8::/32\nlimit 307200\ndenied smtp\ndenied imap\nused 300000\n"
            "who username\t#\tproto\t(pids)\t(ips)\nwho alice\t3\tpop3\t(1 2 3)\t(192.0.2.5)\nmost pop3 10\nlock no\n",
        },
        REGISTRY.units,
    )
    assert (said.clock, said.synchronised, said.asker) == (1700000000, False, "192.0.2.5")
    assert said.addresses == ("192.0.2.10", "2001:db8::1")
    assert said.disks == (Disk("/var/vmail", 1000, 5, 200, 100),) and said.disks[0].full
    assert (said.state("dovecot"), said.state("postfix"), said.ports) == ("failed", "inactive", {993})
    box = said.mailbox
    assert box is not None and box.exists and not box.locks
    assert (box.limit, box.used, box.denied) == (307200, 300000, {"smtp", "imap"})
    assert box.admits("10.1.2.3") and not box.admits("192.0.2.5")
    assert (box.sessions, box.most) == ({("pop3", "192.0.2.5"): 3}, {"pop3": 10})


def test_postfix_is_one_unit_since_debian_13() -> None:
    text = "Type=%s\nId=postfix.service\nLoadState=loaded\nActiveState=active\n\n"
    text += "Id=postfix@-.service\nLoadState=loaded\nActiveState=inactive\n"
    found = [host_report({"services": text % kind}, REGISTRY.units).state("postfix") for kind in ("forking", "oneshot")]
    assert found == ["active", "inactive"]


# As Debian 11 and 13 have logged them (Dovecot 2.3.13 and 2.4.1, OpenSSL 1.1.1 and 3.5)
LOGGED = """\
1.5 mail dovecot[1]: pop3-login: Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.100, lip=192.0.2.2, \
TLS handshaking: SSL_accept() failed: error:14094418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca: x, session=<a>
1.5 mail dovecot[1]: pop3-login: Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.102, lip=192.0.2.2, \
TLS handshaking: SSL_accept() failed: error:14209102:SSL routines:tls_early_post_process_client_hello:unsupported
2.5 mail dovecot[1]: pop3-login: Login aborted: Connection closed: SSL_accept() failed: error:0A000102:SSL routines::\
unsupported protocol (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.102, lip=x
1.5 mail dovecot[1]: auth: passwd-file(a@example.com,192.0.2.103,<k6WhEvFgTq7GElln>): Password mismatch
2.5 mail dovecot[1]: auth(a@example.com,192.0.2.103,sasl:plain)<zUwfDPFgaObGE3Vn>: accounts: Password mismatch
1.5 mail dovecot[1]: auth: passwd-file(a@example.com,192.0.2.104): allow_nets check failed: IP 192.0.2.104 not in x
2.5 mail dovecot[1]: auth(a@example.com,2001:db8::1,sasl:plain): accounts: allow_nets check failed: IP 2001:db8::1 not
1.5 mail dovecot[1]: pop3-login: Login: user=<a@example.com>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=1, TLS
2.5 mail dovecot[1]: pop3-login: Logged in: user=<A@example.com>, method=PLAIN, rip=192.0.2.1, lip=x, mpid=5152, TLS
2.5 mail postfix/submissions/smtpd[5]: warning: unknown[192.0.2.107]: SASL PLAIN authentication failed: sasl_username=a
2.5 mail postfix/submissions/smtpd[5]: ABC: client=unknown[192.0.2.1], sasl_method=PLAIN, sasl_username=a@example.com
2.5 mail dovecot[1]: pop3(a@example.com)<1><x>: Disconnected: Logged out top=0/0, retr=0/0, del=0/0, size=0
broken
"""


def test_a_message_that_was_submitted_is_nobodys_look() -> None:
    """Postfix names who logs in once a message comes. Dovecot's login at the same second may be the doctor's."""
    logged = [event for event in events(LOGGED) if event.kind == "login"]
    others = set(logged) - own(logged, ["192.0.2.1"], 1, 3, 5)
    assert ["sasl_method" in event.text for event in others] == [True]


def test_what_each_release_logs() -> None:
    found = [(e.at, e.kind, e.client, e.user) for e in events(LOGGED)]
    user = "a@example.com"
    assert found == [
        (1.5, "certificate-distrusted", "192.0.2.100", ""),
        (1.5, "client-tls-old", "192.0.2.102", ""),
        (2.5, "client-tls-old", "192.0.2.102", ""),
        (1.5, "wrong-password", "192.0.2.103", user),
        (2.5, "wrong-password", "192.0.2.103", user),
        (1.5, "blocked-by-allow-from", "192.0.2.104", user),
        (2.5, "blocked-by-allow-from", "2001:db8::1", user),
        (1.5, "login", "192.0.2.1", user),
        (2.5, "login", "192.0.2.1", user),
        (2.5, "login", "192.0.2.1", user),
    ]


def test_the_script_shows_no_hash(tmp_path: Path) -> None:
    """Run here, where the files that it reads are made up: the row's password is not in its answer."""
    parts = ("resources/accounts/store.sh", "doctor/doctor.sh")
    script = "\n".join(map(assets.script, parts)).replace("/etc/dovecot/mailprov/", f"{tmp_path}/")
    (tmp_path / "accounts").write_text(f"{USER}:{{SHA512-CRYPT}}$6$hash:::managed:::allow_nets=10.0.0.0/8\n")
    (tmp_path / "verify").write_text("")
    (tmp_path / "denied").write_text(f"{USER}/imap\nb{USER}/pop3\n")
    done = subprocess.run(["dash", "-s", USER], input=f'{script}\naccount "{USER}"\n', capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["exists", "allow 10.0.0.0/8", "denied imap"]
    assert "hash" not in done.stdout and "denied pop3" not in lines


def test_settings_are_read_without_dovecots_own_program(tmp_path: Path) -> None:
    conf = "protocols = pop3\nmost=20\nprotocol imap {\n  most = 3\n}\n# most = 4\nlock = yes\n"
    (tmp_path / "dovecot.conf").write_text(conf)
    script = assets.script("doctor/doctor.sh").replace("/etc/dovecot/", f"{tmp_path}/")
    asked = "setting pop3 most 10; setting imap most 10; setting pop3 lock no; setting pop3 other no"
    done = subprocess.run(["dash", "-s"], input=f"{script}\n{asked}\n", capture_output=True, text=True)
    assert done.stdout.split() == ["20", "3", "yes", "no"]


def test_the_questions_are_quoted() -> None:
    script = probe.script(
        REGISTRY, queries("o'brien@example.com", 5, ("192.0.2.5", "")), assets.script("doctor/doctor.sh")
    ).decode()
    assert script.count("""'o'"'"'brien@example.com'""") == 2
    assert subprocess.run(["dash", "-n"], input=script.encode()).returncode == 0


# --- reports


def test_reports_say_it_all() -> None:
    checks = (met(Why.EXPIRED, "certificate"), REFUSED)
    found = diagnosis(look(*checks), saying(log("wrong", HERE)), "")
    lines = "\n".join(line.text for line in text.diagnosis("mail1", checks, found))
    assert lines.index("first cause: the certificate has expired") < lines.index("further cause: the password is wrong")
    for name in ("expired", "wrong-password"):
        for word in (CAUSES[name].fix, CAUSES[name].user, CAUSES[name].user_zh):
            assert word in lines
    document = json.loads(as_json.diagnoses([("mail1", checks, found)]))
    assert document["healthy"] is False
    assert [cause["cause"] for cause in document["hosts"][0]["causes"]] == ["expired", "wrong-password"]
    assert document["hosts"][0]["causes"][1]["user"]["zh-CN"] == CAUSES["wrong-password"].user_zh
    page = markdown.diagnoses([("mail1", checks, found)])
    assert "### mailprov doctor: 2 causes on 1 host" in page and "`wrong-password`" in page
    well = diagnosis(look(), FINE)
    assert json.loads(as_json.diagnoses([("mail1", (), well)]))["healthy"] is True
    assert "no cause was found" in text.diagnosis("mail1", (), well)[-1].text


def test_a_notice_is_no_fault() -> None:
    found = diagnosis(look(met(Why.EXPIRES_SOON, "certificate", severity="warning")), None)
    assert found.causes == () and [each.cause.name for each in found.findings] == ["expires-soon"]
