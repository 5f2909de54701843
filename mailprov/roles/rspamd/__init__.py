"""rspamd: signs what is sent (DKIM), and checks what comes in (SPF, DKIM, DMARC, ARC).

A signature vouches for the author that a reader sees. Postfix makes sure of the sender only (MAIL FROM, RFC 5321); so
what a user submits has one From: with one address, and that, and a Sender: if there is one, is an address that the user
may send as: the sender's, or one that `logins` has for the login. From networks that need no login it is the sender's.
All else is refused (554 5.7.1), and put off where it cannot be looked at. Mail of other servers and of the host itself
is not asked. Postfix's tables are read when a message comes: a new alias or network is known at once, where a reload
takes rspamd up to twenty seconds, in which it goes on as before.

What comes in is marked by what DMARC says of it; where that is declared, the policy of the author's domain is followed.
Each user may send so much within an hour; what is above is put off (451 4.7.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mailprov.encode import word
from mailprov.model import Daemon, Facts, HostSpec, Item, KeyPair, Spec
from mailprov.model.signing import ALGORITHMS, selector
from mailprov.render import Render, render
from mailprov.resources import dkim_keys
from mailprov.resources.dkim_keys import dkim_key
from mailprov.resources.files import folder, text_file
from mailprov.resources.packages import Package
from mailprov.resources.services import Service
from mailprov.roles import Context, Readers, Role, Stages, filtered
from mailprov.roles.rspamd import stages
from mailprov.roles.rspamd.takeover import TAKEOVER

CONFIGURATION = "/etc/mailprov/rspamd.conf"
AUTHOR = "/etc/mailprov/rspamd-author.lua"
LIMITS = "/etc/mailprov/rspamd-limits.lua"
DROP_IN = "/etc/systemd/system/rspamd.service.d"
UNIT = f"{DROP_IN}/mailprov.conf"
_RESTART = ("SupplementaryGroups", "ExecStart")
"""systemd.exec(5), systemd.service(5): these are read at a start only"""
DAEMON = Daemon("rspamd", core="rspamd", configuration=CONFIGURATION, asked=True)
"""Postfix asks it of each message"""
_SYMBOLS: Mapping[str, str] = {
    "R_SPF": "ALLOW FAIL SOFTFAIL NEUTRAL NA PERMFAIL DNSFAIL PLUSALL",
    "R_DKIM": "ALLOW REJECT TEMPFAIL PERMFAIL NA",
    "DMARC_POLICY": "ALLOW ALLOW_WITH_FAILURES REJECT QUARANTINE SOFTFAIL",
    "DMARC": "NA BAD_POLICY DNSFAIL",
    "ARC": "ALLOW REJECT INVALID DNSFAIL NA SIGNED",
    "DKIM": "SIGNED TRACE",
}
"""what is found of a message, by module: rspamd warns of those that it does not know"""


def items(spec: Spec, host: HostSpec, facts: Facts, render: Render = render) -> Iterator[Item]:
    """The keys, those of domains that are signed no more, too; and the daemon with its configuration, where a domain is
    signed."""
    known = stages.pairs(spec, host, facts)
    yield from _keys(known)
    if not filtered(host, spec.domains_of(host.name)):
        return
    yield Package("rspamd")
    yield Package("openssl")
    yield folder("/etc/mailprov")
    yield text_file(CONFIGURATION, configuration(host, facts, known, render), services=("rspamd",))
    yield text_file(AUTHOR, render("rspamd/author.lua", {}), services=("rspamd",))
    limits = host.outgoing.limits
    if limits.messages:
        text = render("rspamd/limits.lua", {"messages": limits.messages, "recipients": limits.recipients})
        yield text_file(LIMITS, text, services=("rspamd",))
    yield folder(DROP_IN)
    unit = render("rspamd/rspamd.service.d-mailprov.conf", {"configuration": word(CONFIGURATION)})
    yield text_file(UNIT, unit, services=("systemd", "rspamd"), restart_settings=_RESTART)
    yield Service("rspamd")


def _keys(known: tuple[KeyPair, ...]) -> Iterator[Item]:
    if known:
        yield folder("/etc/mailprov")
        yield folder(dkim_keys.FOLDER, "750", "root", dkim_keys.GROUP)
    for domain in sorted({pair.domain for pair in known}):
        yield folder(f"{dkim_keys.FOLDER}/{domain}", "750", "root", dkim_keys.GROUP)
    yield from map(dkim_key, known)


def configuration(host: HostSpec, facts: Facts, known: tuple[KeyPair, ...], render: Render = render) -> str:
    """rspamd.conf, whole: of what Debian's loads, only what is needed; and nobody is asked but DNS."""
    signing = [
        {
            "domain": word(pair.domain),
            "selectors": [
                {"name": word(selector(pair.name, of)), "path": word(f"{dkim_keys.path(pair)}.{of}")}
                for of in ALGORITHMS
            ],
        }
        for pair in known
        if pair.use == "signs"
    ]
    values = {
        "release": int(facts.release),
        "lua": [word(AUTHOR), *([word(LIMITS)] if host.outgoing.limits.messages else [])],
        "largest": 2 * host.outgoing.message_size,  # what Postfix takes, and what milters add
        "networks": [word(network.exploded) for network in host.outgoing.networks],
        "signing": signing,
        "follow": host.incoming.dmarc == "follow",
        "symbols": [word(f"{module}_{name}") for module, names in _SYMBOLS.items() for name in names.split()],
    }
    return render("rspamd/rspamd.conf", values)


def _items(asked: Context) -> Iterator[Item]:
    return items(asked.spec, asked.host, asked.facts, asked.render)


ROLE = Role(
    _items,
    DAEMON,
    {
        CONFIGURATION: Readers(("rspamd",)),
        AUTHOR: Readers(("rspamd",)),
        LIMITS: Readers(("rspamd",)),
        UNIT: Readers(("systemd", "rspamd"), _RESTART),
    },
    TAKEOVER,
    Stages(stages.awaited, stages.waits),
)
