"""What is tried: applies and rollbacks, each with the declarations before and after it, and what led there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mailprov.credentials.passwords import sha512_crypt
from mailprov.model import Secret

HOSTNAME = "mail.example.test"
ALICE, BOB, CAROL, DAVE, ERIN = (f"{name}@example.test" for name in ("alice", "bob", "carol", "dave", "erin"))
PASSWORDS = {address: f"secret of {address.partition('@')[0]}" for address in (ALICE, BOB, CAROL, DAVE, ERIN)}
HASHES = {address: sha512_crypt(Secret(password)).reveal() for address, password in PASSWORDS.items()}
PACKAGES = ("ca-certificates", "dovecot-imapd", "dovecot-lmtpd", "dovecot-pop3d", "nftables", "openssl", "postfix")
EQUIPPED = (*PACKAGES, "dovecot-managesieved", "dovecot-sieve", "rspamd")
LIVE = f"/etc/letsencrypt/live/{HOSTNAME}"
"""where an ACME client keeps its certificate"""

Declared = dict[str, Any]


def base() -> Declared:
    """A mail host as most are."""
    return {
        "mailprov": 1,
        "hosts": {"mail1": {"hostname": HOSTNAME}},
        "domains": ["example.test"],
        "users": [
            {"address": ALICE, "password": {"hash": HASHES[ALICE]}, "quota": "1GiB"},
            {"address": BOB, "password": {"initial": {"env": "BOB_INITIAL"}}},
            {"address": CAROL, "password": {"hash": HASHES[CAROL]}},
        ],
        "aliases": [{"address": "team@example.test", "to": [ALICE]}],
        "tls": {"certificate": {"file": "a.pem"}, "key": {"file": "a.key"}},
        "services": {
            "pop3": {"starttls": 110, "tls": 995},
            "imap": {"tls": 993},
            "submission": {"starttls": 587, "tls": 465},
            "smtp": {"port": 25},
        },
        "firewall": {"manage": True},
    }


def accounts() -> Declared:
    """Accounts only: a password, a new one, one closed."""
    declared = base()
    del declared["users"][1]
    declared["users"][1]["password"] = {"hash": HASHES[DAVE]}
    declared["users"].append({"address": DAVE, "password": {"hash": HASHES[DAVE]}, "aliases": ["d@example.test"]})
    return declared


def settings() -> Declared:
    """Configuration only: a listener closed."""
    declared = base()
    del declared["services"]["pop3"]["starttls"]
    return declared


def renewed() -> Declared:
    """Another certificate, another hole in the firewall."""
    declared = base()
    declared["tls"] = {"certificate": {"file": "b.pem"}, "key": {"file": "b.key"}}
    declared["firewall"]["allow"] = [{"port": 9100, "from": ["192.0.2.5/32"]}]
    return declared


def changed() -> Declared:
    """Configuration, accounts, certificate and firewall, all at once."""
    declared = base()
    declared["users"][2]["password"] = {"hash": HASHES[DAVE]}
    declared["users"].append({"address": DAVE, "password": {"hash": HASHES[DAVE]}, "aliases": ["d@example.test"]})
    declared["tls"] = {"certificate": {"file": "b.pem"}, "key": {"file": "b.key"}, "min_version": "TLSv1.3"}
    declared["services"]["imap"]["starttls"] = 143
    declared["firewall"]["allow"] = [{"port": 9100, "from": ["192.0.2.5/32"]}]
    return declared


def renamed() -> Declared:
    """A mailbox that gets another address, and keeps the old one as an alias."""
    declared = base()
    hash_ = {"hash": HASHES[ERIN]}
    declared["users"][2] = {"address": ERIN, "was": CAROL, "password": hash_, "aliases": [CAROL]}
    return declared


def reduced() -> Declared:
    """An account gone, listeners closed, the firewall off."""
    declared = base()
    del declared["users"][2]
    del declared["services"]["submission"]["tls"], declared["services"]["pop3"]["starttls"]
    declared["firewall"] = {"manage": False}
    return declared


def acme() -> Declared:
    """A certificate that the host has from elsewhere, and renews."""
    declared = base()
    declared["tls"] = {"on_host": {"certificate": f"{LIVE}/fullchain.pem", "key": f"{LIVE}/privkey.pem"}}
    return declared


def acme_changed() -> Declared:
    """The same, with other settings and accounts."""
    declared = acme()
    declared["tls"]["min_version"] = "TLSv1.3"
    declared["users"][0]["quota"] = "2GiB"
    return declared


def imap_only() -> Declared:
    """Without POP3, and so without its package."""
    declared = base()
    del declared["services"]["pop3"]
    return declared


def signed() -> Declared:
    """What is sent is signed."""
    declared = base()
    declared["domains"] = [{"name": "example.test", "sign": True}]
    return declared


def keeping() -> Declared:
    """The same; and keys that have signed are kept for longer than they will be."""
    return signed() | {"outgoing": {"keep_trying": "20d"}}


def rotating() -> Declared:
    """What is sent is signed, with new keys each month."""
    declared = base()
    declared["domains"] = [{"name": "example.test", "sign": {"rotate": "30d"}}]
    return declared


def sending() -> Declared:
    """Mail leaves through a relay, printers may send, messages are smaller; and a script runs before users' own."""
    declared = base()
    declared["outgoing"] = {
        "relay": {"host": "smtp.example.net", "user": "mail", "password": {"env": "RELAY_PASSWORD"}},
        "allow_from": ["192.0.2.0/24"],
        "message_size": "20MiB",
    }
    declared["services"]["sieve"] = True
    declared["sieve"] = {"before": {"file": "before.sieve"}}
    return declared


_PAST = (
    base,
    accounts,
    settings,
    renewed,
    renamed,
    changed,
    reduced,
    acme,
    acme_changed,
    imap_only,
    signed,
    keeping,
)
PAST: Mapping[str, Callable[[], Declared]] = {make.__name__: make for make in _PAST}
"""What a scenario's past may have applied, by name."""


@dataclass(frozen=True)
class Scenario:
    """One apply, or one rollback.

    `before` is what was declared last, `after` what the new state is declared as; None where nothing of ours is there.
    `past` is what led to the old state, in order: applies (names of PAST), "rollback", what others did ("admin",
    "acme_client", "update"), and what became of keys ("published", "spent", "aged"). A rollback with `to` goes back to
    before the apply of that number. `taken` is a port that the apply opens; `renews`: whether it brings a certificate.
    `bare`: the packages were not there at the beginning; `installs`: the apply itself brings some; `equipped`: rspamd's
    and Sieve's were there, too, and somebody sends mail all the time. `leaves`: what the rollback leaves to the next
    apply, as a plan names it. `alike`: most of what it does, another scenario does too. `options` go to the controller.
    """

    name: str
    title: str
    before: Declared | None
    after: Declared | None
    past: tuple[str, ...] = ()
    verb: Literal["apply", "rollback"] = "apply"
    to: int | None = None
    taken: int = 0
    renews: bool = False
    bare: bool = False
    installs: bool = False
    equipped: bool = False
    leaves: str = ""
    alike: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def stated(self, known: str) -> Declared | None:
        """What is declared in the "old" or the "new" state; None for nothing of ours."""
        return copy.deepcopy(self.before if known == "old" else self.after)

    def declared(self, known: str) -> Declared:
        """The same, or what the other state is declared as, where this one has nothing of ours."""
        declared = self.stated(known) or copy.deepcopy(self.after or self.before)
        assert declared is not None
        return declared

    @property
    def refused(self) -> bool:
        """Whether the controller does not confirm it."""
        return bool(self.options.get("refuse"))


def _back(name: str, title: str, before: Declared, after: Declared | None, *past: str, **more: Any) -> Scenario:
    return Scenario(name, f"rollback {title}", before, after, past, "rollback", **more)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", "first install (packages are there)", None, base(), taken=993, renews=True),
        Scenario(
            "change",
            "configuration, accounts, certificate and firewall",
            base(),
            changed(),
            ("base",),
            taken=143,
            renews=True,
        ),
        Scenario("removal", "an account and listeners removed, the firewall off", base(), reduced(), ("base",)),
        Scenario("rename", "a mailbox gets another address", base(), renamed(), ("base",)),
        Scenario(
            "revert",
            "the change again, refused by the controller",
            base(),
            changed(),
            ("base",),
            options={"refuse": True},
        ),
        Scenario(
            "acme", "the host renews its own certificate", acme(), acme_changed(), ("acme_client", "acme"), alike=True
        ),
        Scenario("lived-in", "first install where an admin has lived", None, base(), ("admin",), alike=True),
        Scenario("bare", "first install, with its packages", None, base(), bare=True, installs=True, alike=True),
        Scenario(
            "protocol",
            "a protocol more, an update of Dovecot waiting",
            imap_only(),
            base(),
            ("imap_only", "update"),
            bare=True,
            installs=True,
            alike=True,
        ),
        _back("back-first", "of a first install (packages were there)", base(), None, "base"),
        _back(
            "back-lived-in", "of a first install where an admin has lived", base(), None, "admin", "base", alike=True
        ),
        _back("back-bare", "of a first install, with its packages", base(), None, "base", bare=True, alike=True),
        _back("back-settings", "of configuration", settings(), base(), "base", "settings"),
        _back("back-accounts", "of accounts", accounts(), base(), "base", "accounts"),
        _back("back-rename", "of a mailbox's address", renamed(), base(), "base", "renamed"),
        _back("back-renewed", "of certificate and firewall", renewed(), base(), "base", "renewed"),
        _back(
            "back-further",
            "once more, further back",
            settings(),
            base(),
            "base",
            "settings",
            "renewed",
            "rollback",
            to=1,
        ),
        _back("back-again", "of a rollback", base(), changed(), "base", "changed", "rollback"),
        Scenario("sign", "what is sent is signed from now on", base(), signed(), ("base",), equipped=True),
        Scenario(
            "unsign",
            "what is sent is signed no more",
            signed(),
            base(),
            ("base", "signed", "published", "signed"),
            equipped=True,
        ),
        Scenario(
            "rotate",
            "new keys are made, and old ones retired",
            keeping(),
            rotating(),
            ("base", "signed", "published", "spent", "keeping", "aged"),
            equipped=True,
        ),
        _back(
            "back-sign",
            "of signing",
            signed(),
            base(),
            "base",
            "signed",
            equipped=True,
            alike=True,
            leaves="dkim_key example.test/mail1-1",
        ),
        Scenario("sending", "a relay, senders without a login, Sieve", base(), sending(), ("base",), equipped=True),
    )
}
