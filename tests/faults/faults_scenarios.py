"""The representative applies: what is declared before and after each."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from mailprov.model import Secret
from mailprov.passwords import sha512_crypt

HOSTNAME = "mail.example.test"
ALICE, BOB, CAROL, DAVE = (f"{name}@example.test" for name in ("alice", "bob", "carol", "dave"))
PASSWORDS = {address: f"secret of {address.partition('@')[0]}" for address in (ALICE, BOB, CAROL, DAVE)}
HASHES = {address: sha512_crypt(Secret(password)).reveal() for address, password in PASSWORDS.items()}
PACKAGES = ("ca-certificates", "dovecot-imapd", "dovecot-lmtpd", "dovecot-pop3d", "nftables", "openssl", "postfix")

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


def changed() -> Declared:
    """Configuration, accounts, certificate and firewall, all at once."""
    declared = base()
    declared["users"][2]["password"] = {"hash": HASHES[DAVE]}
    declared["users"].append({"address": DAVE, "password": {"hash": HASHES[DAVE]}, "aliases": ["d@example.test"]})
    declared["tls"] = {"certificate": {"file": "b.pem"}, "key": {"file": "b.key"}, "min_version": "TLSv1.3"}
    declared["services"]["imap"]["starttls"] = 143
    declared["firewall"]["allow"] = [{"port": 9100, "from": ["192.0.2.5/32"]}]
    return declared


def reduced() -> Declared:
    """An account gone, listeners closed, the firewall off."""
    declared = base()
    del declared["users"][2]
    del declared["services"]["submission"]["tls"], declared["services"]["pop3"]["starttls"]
    declared["firewall"] = {"manage": False}
    return declared


@dataclass(frozen=True)
class Scenario:
    """One apply.

    `before` is None where nothing of ours is there. `taken` is a port that the apply opens; `renews`: whether it
    brings a certificate. `bare`: the packages are installed by the apply itself. `options` go to the controller.
    """

    name: str
    title: str
    before: Declared | None
    after: Declared
    consents: tuple[str, ...] = ()
    taken: int = 0
    renews: bool = False
    bare: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def declared(self, known: str) -> Declared:
        """What is declared in the "old" or the "new" state."""
        return copy.deepcopy(self.before if known == "old" and self.before is not None else self.after)


_CONSENTS = ("--allow-removals", "--allow-closing")
_CHANGE = {"before": base(), "after": changed(), "taken": 143, "renews": True}
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", "first install (packages are there)", None, base(), taken=993, renews=True),
        Scenario("change", "configuration, accounts, certificate and firewall", **_CHANGE),
        Scenario("removal", "an account and listeners removed, the firewall off", base(), reduced(), _CONSENTS),
        Scenario("revert", "the change again, refused by the controller", **_CHANGE, options={"refuse": True}),
        Scenario("bare", "first install, with its packages", None, base(), bare=True),
    )
}
