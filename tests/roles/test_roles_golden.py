"""The configuration that a few declarations give, whole, and what it must mean. UPDATE_GOLDEN=1 writes golden/ anew."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from simulated_host import declare

from mailprov.encode import map_row
from mailprov.errors import HostError
from mailprov.model import Alias, Domain, Effect, Facts, HostSpec, Password, Protocol_, Secret, Spec, Tls, User
from mailprov.resources import files
from mailprov.resources.accounts import Accounts
from mailprov.resources.certificates import Certificate
from mailprov.resources.files import File
from mailprov.resources.maps import Map
from mailprov.resources.packages import Package
from mailprov.resources.scripts import Script
from mailprov.roles import dovecot, firewall, mailhost, postfix, tls

GOLDEN = Path(__file__).parent / "golden"
DECLARATIONS: dict[str, dict[str, Any]] = {
    "everything": {
        "users": [
            {
                "address": "alice@example.com",
                "password": {"hash": "$HASH"},
                "aliases": ["postmaster@example.com"],
                "quota": "2GiB",
            },
            {"address": "bob@example.com", "password": {"initial": {"env": "BOB_INITIAL"}}, "protocols": ["pop3"]},
            {
                "address": "carol@example.com",
                "password": {"hash": "$HASH"},
                "allow_from": ["2001:db8::/32", "10.0.0.0/8"],
                "quota": "500MB",
            },
        ],
        "aliases": [
            {"address": "sales@example.com", "to": ["alice@example.com", "Bob.Smith+x@elsewhere.example"]},
            {"address": "all@example.com", "to": ["sales@example.com", "bob@example.com"]},
        ],
        "domains": [{"name": "example.com"}, {"name": "例子.公司", "catch_all": "alice@example.com"}],
        "services": {"pop3": True, "imap": True, "submission": True, "smtp": True},
        "firewall": {
            "manage": True,
            "allow": [
                {"port": 110, "from": ["10.0.0.0/8", "192.168.0.0/16"]},
                {"port": 995, "from": ["10.0.0.0/8", "2001:db8::/32"]},
                {"port": 9100, "from": ["2001:db8::5/128"]},
                {"port": 8080},
            ],
        },
    },
    "imap-only": {"services": {"imap": {"tls": 993}}, "tls": {"self_signed": {}, "min_version": "TLSv1.3"}},
    "pop3-starttls": {"services": {"pop3": {"starttls": 110}}},
    "submission-only": {"services": {"submission": {"tls": 465}}, "firewall": {"manage": True}},
    "relay-in": {"services": {"smtp": {"port": 2525}}},
    "relayed": {
        "services": {"smtp": True, "submission": True},
        "outgoing": {
            "relay": {"host": "smtp.example.net", "user": "office@example.net", "password": {"env": "BOB_INITIAL"}},
            "senders": [
                {"from": ["example.org", "Alerts@example.com"], "relay": "direct"},
                {"from": ["boss@example.com"], "relay": {"host": "192.0.2.25", "tls": "none"}},
                {
                    "from": ["team@example.com"],
                    "relay": {"host": "mx.example.org", "tls": "tls", "user": "t", "password": {"env": "BOB_INITIAL"}},
                },
            ],
            "allow_from": ["10.8.0.0/24", "10.8.1.0/24", "2001:db8::/64"],
            "tls": "required",
            "keep_trying": "2d",
            "message_size": "25MiB",
        },
    },
    "sieve": {
        "services": {"imap": True, "sieve": True, "smtp": True},
        "sieve": {"before": {"file": "junk.sieve"}},
        "firewall": {"manage": True},
    },
    "on-host": {
        "tls": {"on_host": {"certificate": "/etc/le/live/x/fullchain.pem", "key": "/etc/le/live/x/privkey.pem"}}
    },
}
FACTS = {
    "2.3": Facts("", "12", 1_900_000_000, (22, 2222), "2.3.19.1", 0),
    "2.4": Facts("", "13", 1_900_000_000, (22,), "2.4.1", 0),
}
TEXTS: dict[str, Any] = {
    "main.cf": lambda host, facts: postfix.main_cf(host, (), FACTS["2.3"]),
    "master.cf": lambda host, facts: postfix.master_cf(host),
    "dovecot-2.3.conf": lambda host, facts: dovecot.configuration(host, FACTS["2.3"]),
    "dovecot-2.4.conf": lambda host, facts: dovecot.configuration(host, FACTS["2.4"]),
    "mailprov.nft": lambda host, facts: firewall.ruleset(host, FACTS["2.3"]),
}


@pytest.fixture
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> Spec:
    (tmp_path / "junk.sieve").write_text("stop;\n")
    return declare(tmp_path, DECLARATIONS[request.param])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("name", "spec"), [(name, name) for name in DECLARATIONS], indirect=["spec"])
def test_text(name: str, text: str, spec: Spec) -> None:
    made = TEXTS[text](spec.hosts["mail1"], None)
    path = GOLDEN / name / text
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "spec"), [("everything", "everything")], indirect=["spec"])
@pytest.mark.parametrize("version", FACTS)
def test_tables(name: str, version: str, spec: Spec) -> None:
    found = mailhost.desired(spec, spec.hosts["mail1"], FACTS[version], lambda user: Secret(""))
    made: dict[str, list[str]] = {}
    for item in found.values():
        if isinstance(item, Map | Accounts):
            made[item.path] = sorted(item.rows.reveal().values() if item.rows else ())
        elif isinstance(item, File) and item.path.endswith("/denied"):
            made[item.path] = (item.content or b"").decode().splitlines()
    path = GOLDEN / name / f"tables-{version}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(made, sort_keys=False, width=200), encoding="utf-8")
    assert made == yaml.safe_load(path.read_text(encoding="utf-8"))


# --- what it means


def host(folder: Path, **changes: Any) -> HostSpec:
    return declare(folder, changes).hosts["mail1"]


def inet_listeners(text: str) -> Mapping[str, int]:
    """Dovecot's ports by listener; 0 is closed."""
    return {name: int(port) for name, port in re.findall(r"inet_listener (\S+) \{\n\s+port = (\d+)", text)}


def master(text: str) -> dict[str, dict[str, str]]:
    """Postfix's own ports, with their -o settings."""
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in text.splitlines():
        if re.match(r"\S+ inet ", line):
            name = line.split()[0]
            found[name] = {}
        elif line.startswith("  -o "):
            key, _, value = line.removeprefix("  -o ").partition("=")
            found[name][key] = value
        else:
            name = ""
    return found


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) = ?(.*)$", text, re.M))


def opened(text: str) -> dict[int, list[str]]:
    """Ports that the ruleset accepts TCP on, with the sources (none: everybody)."""
    found: dict[int, list[str]] = {}
    for sources, port in re.findall(r"^ +(?:ip6? saddr \{ ([^}]*) \} )?tcp dport (\d+) accept", text, re.M):
        found.setdefault(int(port), []).extend(sources.split(", ") if sources else [])
    return found


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize(
    ("services", "dovecots", "postfixes"),
    [
        ({"imap": {"tls": 993}}, {993}, set()),
        ({"imap": {"starttls": 143}}, {143}, set()),
        ({"pop3": {"tls": 1995}, "imap": {"starttls": 1143}}, {1995, 1143}, set()),
        ({"submission": {"tls": 465}}, set(), {"465"}),
        ({"submission": {"starttls": 587}}, set(), {"587"}),
        ({"smtp": {"port": 25}}, set(), {"25"}),
        ({"pop3": {"starttls": 110, "tls": False}, "submission": {"starttls": 587, "tls": 465}}, {110}, {"587", "465"}),
    ],
)
def test_only_declared_ports_are_open(
    tmp_path: Path, facts: Facts, services: dict[str, Any], dovecots: set[int], postfixes: set[str]
) -> None:
    declared = host(tmp_path, services=services)
    configuration = dovecot.configuration(declared, facts)
    assert {port for port in inet_listeners(configuration).values() if port} == dovecots
    assert master(postfix.master_cf(declared)).keys() == postfixes
    ports = opened(firewall.ruleset(declared, facts))
    assert ports.keys() == dovecots | set(map(int, postfixes)) | set(facts.ssh_ports)
    wanted = {name for name in ("imap", "pop3") if services.get(name)}
    [protocols] = re.findall(r"^protocols = (.*)$", configuration, re.M)
    assert set(protocols.split()) == wanted | {"lmtp"}
    packages = {package.name for package in dovecot.packages(declared)}
    assert {f"dovecot-{name}d" for name in wanted} | {"dovecot-core", "dovecot-lmtpd", "openssl"} == packages


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize("minimum", ["TLSv1.2", "TLSv1.3"])
def test_the_oldest_tls_version(tmp_path: Path, facts: Facts, minimum: str) -> None:
    declared = host(tmp_path, tls={"self_signed": {}, "min_version": minimum})
    main = settings(postfix.main_cf(declared, (), FACTS["2.3"]))
    refused = {"!SSLv2", "!SSLv3", "!TLSv1", "!TLSv1.1"} | ({"!TLSv1.2"} if minimum == "TLSv1.3" else set())
    assert set(main["smtpd_tls_protocols"].split(", ")) == refused
    assert main["smtpd_tls_mandatory_protocols"] == main["smtpd_tls_protocols"]
    assert settings(dovecot.configuration(declared, facts))["ssl_min_protocol"] == minimum


def test_debian_11_cannot_require_tls_1_3(tmp_path: Path) -> None:
    declared = host(tmp_path, tls={"self_signed": {}, "min_version": "TLSv1.3"})
    with pytest.raises(HostError, match=r"Dovecot 2\.3\.13 cannot require TLS 1\.3"):
        dovecot.configuration(declared, replace(FACTS["2.3"], dovecot="2.3.13"))


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_a_host_without_ipv6_gets_none(tmp_path: Path, facts: Facts) -> None:
    declared = host(tmp_path, services={"imap": True, "smtp": True})
    for ipv6, listen, protocols in ((True, "*, ::", "all"), (False, "*", "ipv4")):
        found = replace(facts, ipv6=ipv6)
        assert settings(dovecot.configuration(declared, found))["listen"] == listen
        assert settings(postfix.main_cf(declared, (), found))["inet_protocols"] == protocols


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_scripts_run_where_they_are_declared(tmp_path: Path, facts: Facts) -> None:
    (tmp_path / "junk.sieve").write_text("stop;")
    plain = host(tmp_path, services={"imap": True})
    assert "sieve" not in dovecot.configuration(plain, facts)
    assert {each.name for each in dovecot.packages(plain)}.isdisjoint({"dovecot-sieve", "dovecot-managesieved"})
    quiet = host(tmp_path, services={"imap": True}, sieve=True)
    made = dovecot.configuration(quiet, facts)
    assert "managesieve" not in made and "before" not in made and settings(made)["protocols"] == "imap lmtp"
    assert [each.name for each in dovecot.packages(quiet) if "sieve" in each.name] == ["dovecot-sieve"]
    both = host(
        tmp_path, services={"imap": True, "sieve": {"starttls": 4191}}, sieve={"before": {"file": "junk.sieve"}}
    )
    made = dovecot.configuration(both, facts)
    assert inet_listeners(made)["sieve"] == 4191 and settings(made)["protocols"] == "imap sieve lmtp"
    (script,) = (each for each in dovecot.filtering.items(both, facts) if isinstance(each, Script))
    assert script.content == f"stop;\n# compiled for Dovecot {dovecot.syntax(facts)}\n".encode()
    assert set(files.effects(_conf(quiet, facts), _conf(both, facts)).values()) == {Effect.RESTART}
    assert set(files.effects(_conf(both, facts), _conf(quiet, facts)).values()) == {Effect.RELOAD}
    assert set(files.effects(_conf(plain, facts), _conf(quiet, facts)).values()) == {Effect.RELOAD}


def _conf(declared: HostSpec, facts: Facts) -> File:
    found = dovecot.items(declared, (), facts, _none)
    return next(each for each in found if isinstance(each, File) and each.path == dovecot.CONFIGURATION)


def test_scripts_send_as_their_owners_and_as_nobody(tmp_path: Path) -> None:
    domains = (Domain("example.com", ()), Domain("example.org", ()))
    made = settings(postfix.main_cf(host(tmp_path, sieve=True), domains, FACTS["2.3"]))
    assert made["authorized_submit_users"] == "root, vmail"
    assert "{ vmail = <> @example.com @example.org }" in made["local_login_sender_maps"]


def test_managesieve_is_for_those_who_read_mail() -> None:
    password = Password("initial", "env X")
    users = [User(f"{name}@example.com", password, protocols=frozenset(given)) for name, given in _GIVEN.items()]
    assert not any(line.endswith("/sieve") for line in dovecot.denied(users))
    found = {line.partition("@")[0] for line in dovecot.denied(users, managesieve=True) if line.endswith("/sieve")}
    assert found == {"sends", "nothing"}


_GIVEN: dict[str, tuple[Protocol_, ...]] = {
    "all": ("pop3", "imap", "submission"),
    "pop": ("pop3",),
    "reads": ("imap",),
    "sends": ("submission",),
    "nothing": (),
}


def test_relaying_needs_a_login(tmp_path: Path) -> None:
    declared = host(tmp_path, services={"submission": True, "smtp": True})
    main = settings(postfix.main_cf(declared, (), FACTS["2.3"]))
    assert main["smtpd_relay_restrictions"] == "permit_sasl_authenticated, reject_unauth_destination"
    assert main["mynetworks"] == "127.0.0.0/8 [::1]/128"
    assert "permit_mynetworks" not in postfix.main_cf(declared, (), FACTS["2.3"]) + postfix.master_cf(declared)
    assert (main["smtpd_sasl_auth_enable"], main["smtpd_tls_auth_only"]) == ("no", "yes")
    found = master(postfix.master_cf(declared))
    assert found["25"] == {}
    for port in ("465", "587"):
        assert found[port]["smtpd_relay_restrictions"] == "permit_sasl_authenticated,reject"
        assert found[port]["smtpd_tls_security_level"] == "encrypt"
        assert found[port]["smtpd_sender_restrictions"] == "reject_sender_login_mismatch"
    assert found["465"]["smtpd_tls_wrappermode"] == "yes"
    assert "smtpd_tls_wrappermode" not in found["587"]


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_what_must_always_hold_of_dovecot(tmp_path: Path, facts: Facts) -> None:
    found = settings(dovecot.configuration(host(tmp_path, services={"imap": True, "pop3": True}), facts))
    assert found["shutdown_clients"] == "no"
    assert found["ssl"] == "required"
    clear = {"2.3": ("disable_plaintext_auth", "yes"), "2.4": ("auth_allow_cleartext", "no")}[dovecot.syntax(facts)]
    assert found[clear[0]] == clear[1]


def test_narrowed_ports_are_open_to_nobody_else(tmp_path: Path) -> None:
    rules = [{"port": 993, "from": ["10.0.0.0/8", "2001:db8::/32"]}, {"port": 9100, "from": ["192.0.2.5/32"]}]
    text = firewall.ruleset(host(tmp_path, firewall={"manage": True, "allow": rules}), FACTS["2.3"])
    found = opened(text)
    assert sorted(found[993]) == ["10.0.0.0/8", "2001:db8::/32"]
    assert found[9100] == ["192.0.2.5/32"]
    assert found[25] == found[587] == found[22] == found[2222] == []
    assert text.count("dport 993") == 2
    assert "policy drop" in text
    assert "flush ruleset" not in text
    assert text.index("delete table inet mailprov") > text.index("table inet mailprov\n")


def test_the_firewall_knows_udp_and_declared_ssh(tmp_path: Path) -> None:
    rules = [{"port": 51820, "protocol": "udp"}, {"port": 500, "protocol": "udp", "from": ["10.0.0.0/8"]}]
    rules += [{"port": 51820}, {"port": 22}, {"port": 500, "from": ["10.1.0.0/16"]}]
    text = firewall.ruleset(host(tmp_path, firewall={"manage": True, "allow": rules}), FACTS["2.3"])
    lines = [line.strip() for line in text.splitlines() if "dport" in line]
    assert {"udp dport 51820 accept", "tcp dport 51820 accept", "tcp dport 22 accept"} <= {*lines}
    assert "ip saddr { 10.0.0.0/8 } udp dport 500 accept" in lines
    assert "ip saddr { 10.1.0.0/16 } tcp dport 500 accept" in lines
    assert "udp dport 500 accept" not in lines and 'tcp dport 22 accept comment "ssh"' not in lines


def test_a_firewall_that_is_not_managed_is_left_alone(tmp_path: Path) -> None:
    assert firewall.items(host(tmp_path, firewall={"manage": False}), FACTS["2.3"]) == ()


def test_a_self_signed_certificate_names_the_host(tmp_path: Path) -> None:
    spec = declare(tmp_path)
    found = mailhost.desired(spec, spec.hosts["mail1"], FACTS["2.3"], _none).values()
    assert [item.names for item in found if isinstance(item, Certificate)] == [("mail.example.com",)]


def test_a_declared_certificate_is_one_secret_file(tmp_path: Path) -> None:
    declared = replace(host(tmp_path), tls=Tls("file", chain="LEAF\nISSUER\n\n", key=Secret("KEY\n\n")))
    pem = next(item for item in tls.items(declared, FACTS["2.3"]) if isinstance(item, File) and item.type == "file")
    assert (pem.content, pem.mode, pem.owner, pem.secret) == (b"KEY\nLEAF\nISSUER\n", "600", "root", True)
    assert set(pem.services) == {"dovecot", "postfix"}


def _none(user: object) -> Secret:
    return Secret("")


def test_packages_of_every_role(tmp_path: Path) -> None:
    spec = declare(tmp_path)
    found = mailhost.desired(spec, spec.hosts["mail1"], FACTS["2.3"], _none).values()
    names = {item.name for item in found if isinstance(item, Package)}
    assert names >= {"dovecot-core", "postfix", "nftables", "ca-certificates", "openssl"}


def test_nothing_in_a_template_is_left_unfilled() -> None:
    for path in GOLDEN.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\{\{|\{%|<secret>|None|Undefined", text), path


# --- maps, against their definition address by address

PEOPLE = [f"{name}@{domain}" for name in "abc" for domain in ("one.example", "two.example")]
ELSEWHERE = [*PEOPLE, "x@one.example", "y@two.example", "Z@elsewhere.example"]


def user_at(address: str, aliases: tuple[str, ...] = ()) -> User:
    return User(address, Password("initial", "env X"), aliases=aliases)


@given(
    st.dictionaries(st.sampled_from(PEOPLE), st.lists(st.sampled_from(["m@one.example", "n@two.example"]), max_size=2)),
    st.dictionaries(
        st.sampled_from(["x@one.example", "y@two.example", "z@one.example"]),
        st.lists(st.sampled_from(ELSEWHERE), min_size=1, max_size=3, unique=True),
    ),
    st.sampled_from([None, "a@one.example"]),
)
def test_maps_are_as_defined(
    people: dict[str, list[str]], declared: dict[str, list[str]], catch_all: str | None
) -> None:
    users = [user_at(address, tuple(aliases)) for address, aliases in sorted(people.items())]
    aliases = [Alias(address, tuple(to)) for address, to in declared.items()]
    domains = [Domain("one.example", (), catch_all), Domain("two.example", ())]
    made = {found.path.rpartition("/")[2]: found for found in postfix.maps(domains, users, aliases)}
    rows = {name: dict(found.rows.reveal()) if found.rows else {} for name, found in made.items()}
    assert rows["mailboxes"] == {user.address: f"{user.address} OK" for user in users}
    leads = {alias: (user.address,) for user in users for alias in user.aliases} | {a.address: a.to for a in aliases}
    targets = {user.address: (user.address,) for user in users if catch_all and "@one." in user.address} | leads
    targets |= {"@one.example": (catch_all,)} if catch_all else {}
    assert rows["aliases"] == {name: map_row(name, to) for name, to in targets.items()}
    reaches = {a.address: a.to for a in aliases} | {a: (user.address,) for user in users for a in user.aliases}
    owners = {user.address: {user.address} for user in users}
    for name in reaches:
        reached = {name}
        while more := {to for seen in reached for to in reaches.get(seen, ())} - reached:
            reached |= more
        owners |= {name: reached & people.keys()} if reached & people.keys() else {}
    assert rows["logins"] == {name: map_row(name, tuple(sorted(to))) for name, to in owners.items()}
