"""A protocol that its daemon has not served since it was started comes by a reload."""

from __future__ import annotations

import pytest
from mail_clients import imap, logins, pop3
from mail_machine import ALICE, Machine

pytestmark = [pytest.mark.host, pytest.mark.two_releases]


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_a_protocol_comes_by_a_reload(clone: Machine, protocol: str) -> None:
    as_declared = clone.declared["services"].pop(protocol)
    assert clone.apply("--allow-closing").status == 0
    clone.sh("systemctl restart dovecot")  # what it makes at its start only is not there for it
    before = clone.daemons()
    clone.declared["services"][protocol] = as_declared
    with (pop3 if protocol == "imap" else imap)(clone, ALICE) as session:
        plan = clone.plan()
        assert plan.status == 2 and "dovecot: reload (live sessions stay)" in plan.out, plan.out
        applied = clone.apply()
        assert applied.status == 0, applied.said
        assert "OK" in str(session.noop())
    assert clone.daemons() == before
    assert logins(clone, ALICE) == [True, True, True]
    with imap(clone, ALICE) as client:
        assert client.noop()[0] == "OK"
    assert clone.plan().status == 0
