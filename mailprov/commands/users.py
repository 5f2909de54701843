"""mailprov users: a staff list, looked at before it is declared. Writes nothing, asks no host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mailprov.commands import completing, console
from mailprov.commands.outputs import Outputs, reported
from mailprov.declaration.encodings import named
from mailprov.declaration.staff import Preview, preview
from mailprov.errors import Exit, SpecError
from mailprov.model import User
from mailprov.report.complaints import of_diagnostic
from mailprov.report.json import document, entry, errors
from mailprov.report.text import Line

FEW = 5
"""users that are shown"""


@click.group("users")
def command() -> None:
    """Staff lists: the mailboxes of a whole company, from a table.

    \b
    A staff list is declared as an item of `users` in mail.yaml:
      - from_csv: staff.csv
    """


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", default="", help="How the text is encoded. Default: a byte order mark, UTF-8, or GB18030.")
@click.option(
    "--domain",
    default="",
    shell_complete=completing.domains,
    help="The domain of users whose row has the part before the @ only.",
)
@click.option("--ignore", multiple=True, metavar="HEADING", help="Leave this column out (may be given again).")
@reported("json")
def users_import(outputs: Outputs, file: Path, encoding: str, domain: str, ignore: tuple[str, ...]) -> Exit:
    """Show how FILE (CSV, or .xlsx) is understood, and everything that is wrong in it. Writes nothing.

    The first line names the columns, in English or Chinese, as Excel and other mail systems write them:

    \b
      address (邮箱地址), or local_part (帐号) and domain
      name (姓名), or first name and last name
      password_hash, {SCHEME} first: the table owns the password
      password (密码): set when the mailbox is made, and the user's own from then on; without it one is generated
      quota (容量) with its unit, expire (保留天数), protocols, aliases (别名), previous_address (原邮箱)
      enabled or status (状态), suspended, 离职日期: whom one of them shuts out cannot log in
      contact (个人邮箱), department (部门), title (职务), mobile (手机), employee_id (工号), language (语言)
    """
    found = preview(file, encoding, domain, ignore)
    console.show(_lines(found) if outputs.text else [])
    console.show([Line(f"! {warning}", "warn") for warning in found.warnings], err=True)
    outputs.give(json=lambda: _json(file, found))
    if found.errors:
        raise SpecError(found.errors)
    console.say(f"nothing was written; to declare them: users: [{_item(file, encoding, domain, ignore)}]", "good")
    return Exit.DONE


def _item(file: Path, encoding: str, domain: str, ignore: Sequence[str]) -> str:
    more = {"encoding": named(encoding) if encoding else "", "domain": domain}
    said = [f", {key}: {_text(value)}" for key, value in more.items() if value]
    said += [f", ignore: [{', '.join(map(_text, ignore))}]"] if ignore else []
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


def _json(file: Path, found: Preview) -> str:
    return document(
        "users-import",
        file=str(file),
        form=found.form,
        columns=[{"heading": heading, "field": meaning or None} for heading, meaning in found.columns],
        users=list(map(_row, found.users)),
        errors=errors([SpecError(found.errors)] if found.errors else []),
        warnings=[entry(of_diagnostic(doubt)) for doubt in found.doubts],
    )


def _row(user: User) -> dict[str, object]:
    return {
        "address": user.address,
        "name": user.name,
        "department": user.person.department if user.person else "",
        "title": user.person.title if user.person else "",
        "quota": user.quota,
        "expire": user.expire,
        "password": "generated" if user.password.generated else user.password.ownership,
        "protocols": sorted(user.protocols),
    }
