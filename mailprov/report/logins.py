"""Who can log in: a table for a terminal, and JSON (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.checks.all_users import Login, by_account
from mailprov.checks.check import Check
from mailprov.errors import MailprovError
from mailprov.model import some
from mailprov.report import printable
from mailprov.report.json import document, errors
from mailprov.report.next_steps import to_do
from mailprov.report.text import Line


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


def nobody(rolls: Sequence[LoginReport]) -> bool:
    """Whether there are accounts, and none could be tried."""
    return any(roll.without for roll in rolls) and not any(roll.logins for roll in rolls)


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
        steps = dict.fromkeys(filter(None, (to_do(roll.host, check, address) for check in checks)))
        lines.extend(Line(f"    to do: {step}", "head") for step in steps)
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


def as_json(rolls: Sequence[LoginReport], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's logins, and why others have none; "verified": somebody was tried, and nobody was shut out."""
    hosts = [
        {
            "host": roll.host,
            "well": roll.well,
            "total": roll.total,
            "accounts": [
                {"address": address, "logins": [_login(roll.host, address, check) for check in checks]}
                for address, checks in by_account(roll.logins)
            ],
            "not_tried": dict(roll.without),
        }
        for roll in rolls
    ]
    verified = not failures and not nobody(rolls) and not any(roll.failed for roll in rolls)
    return document("verify-all-users", verified=verified, hosts=hosts, failed=errors(failures))


def _login(host: str, address: str, made: Check) -> dict[str, object]:
    return {
        "protocol": made.endpoint.protocol,
        "port": made.endpoint.port,
        "result": _word(made),
        "cause": made.cause.value,
        "seconds": round(made.seconds, 4),
        "detail": made.detail,
        "cure": to_do(host, made, address),
    }


def _word(made: Check) -> str:
    return "ok" if made.ok else "failed" if made.failed else "not tried"
