"""What went wrong, item by item, for every form of report: an error of one kind has as many as its declaration has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mailprov.errors import Diagnostic, ExpectationsError, MailprovError, Origin, SpecError
from mailprov.model import some


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong: `where` in words, `place` where that is in a file, `host` where it is about one.

    `exit` is the code that a command ends with which meets nothing else; None: it is a warning. `rule` is that of SARIF
    where it is no declaration's.
    """

    what: str
    why: str
    fix: str
    where: str
    host: str = ""
    place: Origin | None = None
    exit: int | None = None
    rule: str = ""


def complaints(errors: Iterable[MailprovError]) -> list[Complaint]:
    """Everything that these errors are about."""
    return [complaint for error in errors for complaint in _of(error)]


def _of(error: MailprovError) -> list[Complaint]:
    code = int(error.exit)
    if isinstance(error, SpecError):
        rule = "invalid-expectations" if isinstance(error, ExpectationsError) else ""
        return [replace(of_diagnostic(each, error.host, code), rule=rule) for each in error.errors]
    return [Complaint(error.what, error.why, error.fix, error.where, error.host, None, code)]


def of_diagnostic(found: Diagnostic, host: str = "", code: int | None = None) -> Complaint:
    """One complaint or (without a code) warning about a declaration."""
    place = found.origin if found.origin.file else None
    return Complaint(found.what, "", found.fix, str(place or ""), host, place, code)


def in_one(error: MailprovError) -> Complaint:
    """The whole error as one, also where it is about several places."""
    found = _of(error)
    if len(found) == 1:
        return found[0]
    why = some([f"{each.where}: {each.what}" for each in found], 10)
    return Complaint(error.what, why, error.fix, error.where, error.host, None, int(error.exit))
