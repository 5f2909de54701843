"""Configuration, accounts, certificate and firewall change again and again under load, and back: nobody notices."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_load import Load, trusting
from faults_scenarios import DAVE, HASHES, SCENARIOS, Declared, Scenario, base
from faults_trial import Ward

from mailprov.lab.layers import Layer

WHOLE = os.environ.get("MAILPROV_FAULTS") == "all"
APPLIES = int(os.environ.get("MAILPROV_LOAD_APPLIES", "300" if WHOLE else "10"))
pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(3 * 3600),
    pytest.mark.xdist_group("faults-load"),
]

_CONSENTS = ("--allow-removals", "--allow-closing")
_BACK = 7
"""after which of ten applies that one is rolled back"""
_PAGE = """\
# Under load

`make faults` applies change after change to a real booted host ({release}) while mail clients are at work:
two mail servers and two mail programs send, POP3 and IMAP sessions are opened, held for twelve seconds and closed, one
IMAP session idles for the whole time, and one client connects to each port in turn. Changed are, in turn, the
configuration (a listener comes or goes, TLS's lowest version), an account, the certificate and the firewall.

| figure | |
|---|--:|
| applies | {applies} |
| rollbacks | {rollbacks} |
| sessions failed | {failed} |
| messages lost | {lost} |
| messages delivered twice | {twice} |
| connections refused or dropped | {failed} |
| UIDL, UID or UIDVALIDITY changed | {moved} |

At least {messages:,} messages were accepted, {sessions:,} POP3, IMAP and SMTP sessions held, and {connections:,}
connections made.
"""


def changes() -> Iterator[Declared]:
    """One thing changes from each declaration to the next."""
    declared = base()
    while True:
        declared["firewall"]["allow"] = [] if declared["firewall"].get("allow") else [{"port": 9100}]
        yield declared
        pem = "b" if declared["tls"]["certificate"]["file"] == "a.pem" else "a"
        declared["tls"] |= {"certificate": {"file": f"{pem}.pem"}, "key": {"file": f"{pem}.key"}}
        yield declared
        if len(declared["users"]) == 3:
            declared["users"].append({"address": DAVE, "password": {"hash": HASHES[DAVE]}})
        else:
            del declared["users"][3]
        yield declared
        if declared["services"]["imap"].pop("starttls", None) is None:
            declared["services"]["imap"]["starttls"] = 143
        declared["tls"]["min_version"] = "TLSv1.2" if declared["tls"].get("min_version") == "TLSv1.3" else "TLSv1.3"
        yield declared


def test_nobody_notices(ward: Ward, layers: Callable[[Scenario], Layer]) -> None:
    patient = ward.admit(layers(SCENARIOS["change"]))
    try:
        load = Load(patient.host.address, trusting(str(patient.folder / "ca.pem")))
        with load.running():
            time.sleep(3)
            for count, declared in zip(range(APPLIES), changes(), strict=False):
                status, said = patient.here(declared, "apply", "--yes", *_CONSENTS)
                assert status == 0, f"apply {count}: {said}; {load.wrong}"
                if count % 10 == _BACK:  # then the next apply does two changes at once
                    status, said = patient.here(declared, "rollback", "--yes", *_CONSENTS)
                    assert status == 0, f"rollback after apply {count}: {said}; {load.wrong}"
            time.sleep(3)
        deadline = time.monotonic() + 120
        while (found := load.arrived()).keys() < load.accepted and time.monotonic() < deadline:
            time.sleep(1)
        lost = load.accepted - found.keys()
        twice = [number for number, times in found.items() if times > 1]
        moved = [line for line in load.wrong if "changed" in line]
        if WHOLE:
            _publish(load, patient.host.release, len(load.wrong) - len(moved), len(lost), len(twice), len(moved))
        print(dict(load.done), load.wrong)
        assert (load.wrong, lost, twice) == ([], set(), [])
        assert load.done["messages"] >= APPLIES and load.done["pop3"] > 0 and load.done["imap"] > 0
        assert load.done["idle"] == 1
    finally:
        ward.lab.discard(patient.host)


def _publish(load: Load, release: str, failed: int, lost: int, twice: int, moved: int) -> None:
    """The figures; of those that differ from run to run, what this one surpassed."""
    sessions = sum(load.done[name] for name in ("mail_server", "submitter", "pop3", "imap", "idle"))
    text = _PAGE.format(
        release=f"Debian {release}",
        applies=APPLIES,
        rollbacks=sum(count % 10 == _BACK for count in range(APPLIES)),
        failed=failed,
        lost=lost,
        twice=twice,
        moved=moved,
        messages=_floor(load.done["messages"]),
        sessions=_floor(sessions),
        connections=_floor(load.done["connections"]),
    )
    (Path(__file__).parents[2] / "docs" / "load-test.md").write_text(text, encoding="utf-8")


def _floor(count: int) -> int:
    return count // 100 * 100
