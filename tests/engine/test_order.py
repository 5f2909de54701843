"""In which order files come and go: nothing names what is not there, and nothing new is taken away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from simulated_host import NOW, SimulatedHost, declare, self_signed

from mailprov import standard
from mailprov.engine.plan import steps
from mailprov.model import Phase, Secret, Spec, Step, Tls
from mailprov.roles.tls import PEM
from mailprov.workflows.survey import survey


def order(before: Spec, after: Spec) -> list[Step]:
    """What an apply does on a host that is `before`."""
    host = SimulatedHost()
    host.become(before)
    return list(steps(standard.REGISTRY, survey(after, after.hosts["mail1"], host.host()).plan))


def at(found: list[Step], *words: str) -> int:
    """Which step does something with these words."""
    return next(number for number, step in enumerate(found) if {*words} <= {*step.do})


def with_tls(spec: Spec, tls: Tls) -> Spec:
    return replace(spec, hosts={name: replace(host, tls=tls) for name, host in spec.hosts.items()})


def test_a_file_that_another_kind_makes_anew_goes_before_it_comes(tmp_path: Path) -> None:
    chain = self_signed(("mail.example.com",), NOW.replace(year=NOW.year + 5))
    own = with_tls(declare(tmp_path, {}), Tls("file", chain=chain, key=Secret("a key\n")))
    found = order(own, declare(tmp_path, {"tls": {"self_signed": {}}}))
    assert at(found, "drop", PEM) < at(found, "put", PEM)


def test_main_cf_names_what_is_there(tmp_path: Path) -> None:
    """Each smtpd that starts reads it: before any reload."""
    networks = "/etc/postfix/mailprov/networks"
    services = {"smtp": True, "submission": True}
    bare = declare(tmp_path, {"services": services})
    more = declare(tmp_path, {"services": services, "outgoing": {"allow_from": ["10.8.0.0/24"]}})
    come = order(bare, more)
    assert at(come, "put", networks) < at(come, "put", "/etc/postfix/main.cf")
    gone = order(more, bare)
    assert at(gone, "put", "/etc/postfix/main.cf") < at(gone, "drop", networks)


def test_who_is_asked_starts_before_and_stops_after(tmp_path: Path) -> None:
    services = {"smtp": True, "submission": True}
    bare = declare(tmp_path, {"services": services})
    signed = declare(tmp_path, {"services": services, "domains": [{"name": "example.com", "sign": True}]})
    come = order(bare, signed)
    main = at(come, "put", "/etc/postfix/main.cf")
    assert at(come, "put", "/etc/mailprov/rspamd.conf") < at(come, "activate", "rspamd") < main
    assert at(come, "activate", "systemd") < at(come, "activate", "rspamd")
    assert {step.phase for step in come[at(come, "activate", "rspamd") : main]} == {Phase.COMMIT}
    gone = order(signed, bare)
    assert at(gone, "put", "/etc/postfix/main.cf") < at(gone, "activate", "postfix") < at(gone, "stand_down", "rspamd")
