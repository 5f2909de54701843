"""Verbs about people: staff lists."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.cli.root import cli
from mailprov.errors import Exit


@cli.group()
def users() -> None:
    """Staff lists: the mailboxes of a whole company, from a table.

    \b
    A staff list is declared as an item of `users` in mail.yaml:
      - from_csv: staff.csv
    """


@users.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", default="", help="How the text is encoded. Default: a byte order mark, UTF-8, or GB18030.")
@click.option("--domain", default="", help="The domain of users whose row has the part before the @ only.")
def users_import(file: Path, encoding: str, domain: str) -> Exit:
    """Show how FILE (CSV, or .xlsx) is understood, and everything that is wrong in it. Writes nothing.

    The first line names the columns, in English or Chinese, as Excel and other mail systems write them:

    \b
      address (邮箱地址), or local_part (帐号) and domain
      name (姓名), or first name and last name
      password_hash, {SCHEME} first: the table owns the password
      password (密码): set when the mailbox is made, and the user's own from then on
      quota (容量) with its unit, expire (保留天数), protocols, aliases (别名), enabled
      contact (个人邮箱), department (部门), title (职务), mobile (手机), employee_id (工号)
    """
    from mailprov.verbs import users as verb

    return verb.show_import(file, encoding, domain)
