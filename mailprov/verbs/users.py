"""mailprov users: a staff list, looked at before it is declared. Writes nothing, asks no host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mailprov.errors import Exit, SpecError
from mailprov.model import User
from mailprov.report.text import Line
from mailprov.spec.encodings import named
from mailprov.spec.staff import Preview, preview
from mailprov.verbs import console

FEW = 5
"""users that are shown"""


def show_import(file: Path, encoding: str, domain: str) -> Exit:
    """Show how a staff list is understood. Raises SpecError with all that is wrong in it."""
    found = preview(file, encoding, domain)
    console.show(_lines(found))
    console.show([Line(f"! {warning}", "warn") for warning in found.warnings], err=True)
    if found.complaints:
        raise SpecError(found.complaints)
    console.say(f"nothing was written; to declare them: users: [{_item(file, encoding, domain)}]", "good")
    return Exit.DONE


def _item(file: Path, encoding: str, domain: str) -> str:
    more = {"encoding": named(encoding) if encoding else "", "domain": domain}
    said = [f", {key}: {_text(value)}" for key, value in more.items() if value]
    return f"{{from_csv: {{file: {_text(str(file))}{''.join(said)}}}}}" if said else f"{{from_csv: {_text(str(file))}}}"


def _text(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")


def _lines(found: Preview) -> Iterator[Line]:
    if found.form:
        yield Line(found.form, "head")
    width = max((len(meaning) for _, meaning in found.columns), default=0)
    for heading, meaning in found.columns:
        yield Line(
            f"  {meaning or '-':<{width}}  {heading}" + ("" if meaning else "  (not used)"), "" if meaning else "dim"
        )
    if found.columns:
        count = len(found.users)
        yield Line(
            f"{count:,} user{'' if count == 1 else 's'}" + (f"; the first {FEW}:" if count > FEW else ""), "head"
        )
        yield from (Line(f"  {_user(user)}") for user in found.users[:FEW])


def _user(user: User) -> str:
    person = user.person
    words = [user.address, user.name, person.department if person else "", person.title if person else ""]
    words.append(f"{user.quota:,} bytes" if user.quota is not None else "")
    words.append(f"expires after {user.expire} days" if user.expire is not None else "")
    words.append("password to be generated" if user.password.generated else f"{user.password.ownership} password")
    words.append("" if user.protocols else "disabled")
    return "  ".join(filter(None, words))
