"""What drifted in each form: named, ignored in sight, and harmless whatever a host or a rule says."""

from __future__ import annotations

import json as reader
import re
from dataclasses import replace

from hostile import HOSTILE_TEXT, hostile_plan, steers
from hypothesis import given
from test_markdown import require_harmless

from mailprov.engine.drift import Drift, Drifted
from mailprov.errors import HostError, Origin
from mailprov.model import Action, Change, Ignore, Key, Reason, RowsChange, Words
from mailprov.report import drift, json

RULE = Ignore("service", "dovecot", ("running",), "maintenance", Origin("mail.yaml", 12, 5))
FILE = Change(Key("file", "/x"), Action.UPDATE, Reason.BOTH, None, None, Words("content", ("-a", "+b")))
GONE = Change(Key("package", "postfix"), Action.CREATE, Reason.DRIFT, None, None, Words("install"))
SERVICE = Change(Key("service", "dovecot"), Action.UPDATE, Reason.DRIFT, None, None, Words("start"))


def drift_of(*found: Drifted, host: str = "mail1", pending: int = 0, settled: tuple[Key, ...] = ()) -> Drift:
    return Drift(host, "0" * 32, "20300601T120000Z-abcdef", found, settled, pending)


def shown(*made: Drift, details: bool = False) -> list[str]:
    return [line.text for line in [*drift.text(made, details=details), drift.total(made)]]


def test_what_counts_and_what_is_ignored() -> None:
    made = drift_of(Drifted(FILE), Drifted(GONE), Drifted(SERVICE, RULE))
    assert shown(made) == [
        "mail1",
        "  changed here since the last apply; what an apply would do about it:",
        "  ~ file /x          content  [the declaration changed it, too]",
        "      -a",
        "      +b",
        "  + package postfix  install",
        "  ignored, as declared:",
        "  ~ service dovecot  start  [mail.yaml:12:5: maintenance]",
        "Drift: 2 changes on 1 host; 1 change ignored.",
    ]
    assert shown(made, details=True)[0] == "mail1  since 20300601T120000Z-abcdef"
    written = drift.as_markdown([made], [HostError("lost", where="mail2", why="the cable")])
    assert "- ❌ `mail2`: lost (the cable)" in written
    assert "| `mail1` | **changed** | `file /x` | content | the declaration changed it, too |" in written
    assert "| `mail1` | **gone** | `package postfix` | install |  |" in written
    assert "| `mail1` | changed | `service dovecot` | start | ignored, mail.yaml:12:5: maintenance |" in written
    assert "-a\n+b" in written


def test_nothing_but_noise_is_no_drift() -> None:
    noise = drift_of(Drifted(SERVICE, replace(RULE, reason="", origin=None)))
    quiet = drift_of(host="mail2", pending=3, settled=(Key("file", "/y"),))
    assert shown(noise, quiet) == [
        "mail1",
        "  no drift but what is ignored",
        "  ignored, as declared:",
        "  ~ service dovecot  start  [ignored]",
        "mail2",
        "  no drift",
        "  changed here to what is declared by now, so that nothing is to be done: file /y",
        "  3 changes of the declaration pending: see `mailprov plan`",
        "No drift on 2 hosts; 1 change ignored.",
    ]
    found = reader.loads(json.drifts([noise, quiet]))
    assert found["drifted"] is False
    assert [each["ignored"]["reason"] for each in found["hosts"][0]["drift"]] == [""]
    assert found["hosts"][1]["settled"] == [{"kind": "file", "name": "/y"}] and found["hosts"][1]["pending"] == 3
    assert reader.loads(json.drifts([drift_of(Drifted(FILE))]))["drifted"] is True
    page = drift.as_markdown([quiet])
    assert page.startswith("### mailprov: No drift on 1 host.") and "3 changes of the declaration pending" in page


def test_hosts_of_which_the_same_is_to_be_said_share_it() -> None:
    alike = [drift_of(Drifted(FILE), host=name) for name in ("mail1", "mail2")]
    assert shown(*alike)[0] == "mail1, mail2"
    assert shown(*alike)[-1] == "Drift: 2 changes on 2 hosts."


def test_few_rows_are_named_and_many_are_counted() -> None:
    def table(count: int) -> Drift:
        rows = RowsChange("accounts", removed=tuple(f"{n}@example.com" for n in range(count)), total=count)
        change = Change(Key("accounts", "/a"), Action.UPDATE, Reason.DRIFT, None, None, rows)
        return drift_of(Drifted(change))

    assert "      - 0@example.com" in shown(table(20))
    assert "--details names them" in shown(table(21))[2] and "      - 0@example.com" not in shown(table(21))
    assert "      - 20@example.com" in shown(table(21), details=True)


@given(HOSTILE_TEXT, HOSTILE_TEXT)
def test_nothing_steers_whoever_reads_it(said: str, reason: str) -> None:
    rule = Ignore("file", said, (), reason, Origin(said, 1, 1))
    found = tuple(Drifted(each, rule if n % 2 else None) for n, each in enumerate(hostile_plan(said).changes))
    made = replace(drift_of(*found, settled=(Key("file", said),)), warnings=(said,))
    for details in (True, False):
        for line in shown(made, details=details):
            assert not steers(line) and "\n" not in line
    written = json.drifts([made])
    assert written.isascii() and reader.loads(written)["hosts"][0]["drift"][1]["ignored"]["reason"] == reason
    page = drift.as_markdown([made], [HostError(said, where=said, why=said)])
    require_harmless(page)
    rows = [line for line in page.split("<details>")[0].splitlines() if line.startswith("| `mail1` |")]
    assert len(rows) == len(found) and {len(re.findall(r"(?:[^\\|]|\\.)*\|", line)) for line in rows} == {6}
