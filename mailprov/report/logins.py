"""Who can log in: a table for a terminal, JSON, and JUnit XML for a pipeline. All pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from mailprov.checks.all_users import Login, by_account
from mailprov.checks.check import Check
from mailprov.model import some
from mailprov.report import printable
from mailprov.report.json import FORMAT
from mailprov.report.text import Line

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""characters that XML 1.0 §2.2 cannot hold"""


@dataclass(frozen=True, slots=True)
class LoginReport:
    """One host's accounts: how each login went, and who was not tried, with the reason."""

    host: str
    logins: Sequence[Login]
    without: Mapping[str, str]

    @property
    def well(self) -> int:
        """How many accounts log in by everything that they may use."""
        return sum(all(check.ok for check in checks) for _, checks in by_account(self.logins))

    @property
    def total(self) -> int:
        """How many accounts there are."""
        return len({login.address for login in self.logins}) + len(self.without)

    @property
    def failed(self) -> bool:
        """Whether somebody could not log in."""
        return any(not login.check.ok for login in self.logins)


def table(roll: LoginReport, *, details: bool = False) -> list[Line]:
    """A line for each account that is not well (`details`: for each one), then how many of how many are."""
    lines = []
    width = max((len(login.address) for login in roll.logins), default=0)
    for address, checks in by_account(roll.logins):
        well = all(check.ok for check in checks)
        if well and not details:
            continue
        marks = "  ".join(f"{check.endpoint.protocol} {_word(check)}" for check in checks)
        lines.append(Line(f"  {printable(address):<{width}}  {marks}", "good" if well else "bad"))
        why = dict.fromkeys(check.detail for check in checks if not check.ok)
        lines.extend(Line(f"    {printable(text)}", "bad") for text in why)
    reasons: dict[str, list[str]] = {}
    for address, reason in roll.without.items():
        reasons.setdefault(reason, []).append(address)
    for reason, names in reasons.items():
        few = some(names, 5)
        lines.append(Line(f"  not tried: {printable(few)}: {printable(reason)}", "warn"))
    used = dict.fromkeys(f"{login.check.endpoint.protocol} {login.check.endpoint.port}" for login in roll.logins)
    by = f", each by {', '.join(used)} as far as allowed" if used else ""
    style = "bad" if roll.failed else "warn" if roll.without else "good"
    return [*lines, Line(f"  {roll.well:,} of {roll.total:,} log in{by}", style)]


def as_json(rolls: Sequence[LoginReport]) -> str:
    """Every host's logins; "verified" says whether nobody was shut out."""
    hosts = [
        {
            "host": roll.host,
            "well": roll.well,
            "total": roll.total,
            "accounts": [
                {"address": address, "logins": [_login(check) for check in checks]}
                for address, checks in by_account(roll.logins)
            ],
            "not_tried": dict(roll.without),
        }
        for roll in rolls
    ]
    verified = not any(roll.failed for roll in rolls)
    return json.dumps({"format": FORMAT, "verified": verified, "hosts": hosts}, indent=2, ensure_ascii=False)


def junit(rolls: Sequence[LoginReport]) -> bytes:
    """JUnit XML: a suite for each host, a case for each login, as pipelines read it."""
    root = ElementTree.Element("testsuites")
    for roll in rolls:
        failures = sum(login.check.failed for login in roll.logins)
        skipped = sum(login.check.warns for login in roll.logins) + len(roll.without)
        counts = {"tests": len(roll.logins) + len(roll.without), "failures": failures, "errors": 0, "skipped": skipped}
        seconds = sum(login.check.seconds for login in roll.logins)
        words = {name: str(count) for name, count in counts.items()}
        suite = ElementTree.SubElement(root, "testsuite", {"name": roll.host, **words, "time": f"{seconds:.3f}"})
        for login in roll.logins:
            check = login.check
            where = f"{login.address} {check.endpoint.protocol} {check.endpoint.port}"
            case = _case(suite, roll.host, where, check.seconds)
            if check.failed:
                ElementTree.SubElement(case, "failure", {"type": check.cause.value, "message": _clean(check.detail)})
            elif check.warns:
                ElementTree.SubElement(case, "skipped", {"message": _clean(check.detail)})
        for address, why in roll.without.items():
            ElementTree.SubElement(_case(suite, roll.host, address, 0.0), "skipped", {"message": _clean(why)})
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _case(suite: ElementTree.Element, host: str, name: str, seconds: float) -> ElementTree.Element:
    words = {"classname": f"mailprov.{host}", "name": _clean(name), "time": f"{seconds:.3f}"}
    return ElementTree.SubElement(suite, "testcase", words)


def _login(made: Check) -> dict[str, object]:
    return {
        "protocol": made.endpoint.protocol,
        "port": made.endpoint.port,
        "result": _word(made),
        "cause": made.cause.value,
        "seconds": round(made.seconds, 4),
        "detail": made.detail,
    }


def _word(made: Check) -> str:
    return "ok" if made.ok else "failed" if made.failed else "not tried"


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
