"""What the columns of a staff list mean: their headings, in English and Chinese, as mail systems write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mailprov.spec.desk import Desk, brief
from mailprov.spec.table import Table

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    # `address` comes after `user name`: Microsoft 365 has both, and its `address` is that of a house
    "address": (
        *("email address", "e-mail address", "emailaddress", "email_address", "邮箱地址", "邮件地址", "电子邮件地址"),
        *("邮箱", "邮箱帐号", "邮箱账号", "电子邮箱", "电子邮件", "email", "e-mail", "mail", "user name", "address"),
    ),
    "local_part": ("local_part", "local part", "localpart", "帐号", "账号", "用户名", "username", "英文id"),
    "domain": ("domain", "域名", "邮箱域名"),
    "name": ("name", "姓名", "display name", "displayname", "显示名称", "显示名", "common name", "full name"),
    "first_name": ("first name", "firstname", "first_name", "given name", "first", "名", "名字"),
    "last_name": ("last name", "lastname", "last_name", "surname", "family name", "last", "姓", "姓氏"),
    "password_hash": ("password_hash", "password hash", "passwordhash", "密码哈希", "密码散列"),
    "password": ("password", "initial password", "initial_password", "密码", "初始密码", "登录密码"),
    "quota": ("quota", "容量", "配额", "邮箱容量", "空间", "mailbox size"),
    "expire": ("expire", "retention", "retention days", "保留天数", "邮件保留天数", "保留期限"),
    "protocols": ("protocols", "protocol", "协议", "允许协议"),
    "aliases": ("aliases", "alias", "别名", "邮箱别名"),
    "enabled": ("enabled", "active", "启用", "是否启用"),
    "contact": ("contact", "个人邮箱", "备用邮箱", "alternate email address", "recovery email", "personal email"),
    "department": ("department", "部门", "所属部门", "org unit path"),
    "title": ("title", "职务", "职位", "岗位", "job title"),
    "mobile": ("mobile", "手机", "手机号", "手机号码", "移动电话", "mobile phone"),
    "employee_id": ("employee_id", "employee id", "employeeid", "employee number", "编号", "工号", "员工编号"),
}
"""field → the headings that mean it, the surest first, in the form that `plain` gives"""
_NOTE: Final = re.compile(r"\[[^\]]*\]|[*\ufeff]")
_FIELDS: Final = {heading: (field, rank) for field, known in HEADINGS.items() for rank, heading in enumerate(known)}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which field: `at` has a column's index for each field that there is."""

    at: Mapping[str, int]
    unused: tuple[int, ...]


def plain(heading: str) -> str:
    """A heading as it is compared: NFKC, in one case, without `*`, `[Required]` and blanks at its ends."""
    return " ".join(_NOTE.sub(" ", unicodedata.normalize("NFKC", heading)).casefold().split())


def columns(table: Table, domain: str, desk: Desk) -> Columns | None:
    """What the table's columns are; warns of those that mean nothing here.

    None, after a complaint, where they do not say who the users are; `domain` is what local parts alone belong to.
    """
    found = _found(table, desk)
    here = table.heading(0)
    if not found.at:
        # the headings are not shown: where there are none, this line is a user, maybe with a password
        what = "the first line names no column that is known here"
        desk.complain(here, what, f"known are, among others: {', '.join(HEADINGS)}")
        return None
    if "address" not in found.at and "local_part" not in found.at:
        desk.complain(here, "no column holds the mail address", "call one `address` (邮箱地址), or `local_part`")
        return None
    if "address" not in found.at and "domain" not in found.at and not domain:
        cure = "name it: from_csv: {file: …, domain: example.com}, or add a column `domain`"
        desk.complain(here, "nothing says which domain these users are in", cure)
        return None
    return found


def _found(table: Table, desk: Desk) -> Columns:
    best: dict[str, tuple[int, int]] = {}
    for index, heading in enumerate(table.header):
        field, rank = _FIELDS.get(plain(heading), ("", 0))
        if not field:
            continue
        known = best.get(field)
        if known is not None and known[0] == rank:
            what = f"the column `{brief(heading.strip())}` stands twice"
            desk.complain(table.heading(index), what, "delete one of them, or rename it")
        elif known is None or rank < known[0]:
            best[field] = (rank, index)
    if "address" in best:
        best.pop("local_part", None)
    if "name" in best:
        for other in ("first_name", "last_name"):
            best.pop(other, None)
    at = {field: index for field, (_, index) in best.items()}
    unused = tuple(index for index in range(len(table.header)) if index not in at.values())
    return Columns(at, unused)


def warn_of_unused(table: Table, found: Columns, desk: Desk) -> None:
    """Warn, once, of the columns that are not used."""
    if found.unused:
        names = ", ".join(_shown(table.header, index) for index in found.unused[:20])
        more = f" and {len(found.unused) - 20} more" if len(found.unused) > 20 else ""
        many = "columns are" if len(found.unused) > 1 else "column is"
        where = table.heading(found.unused[0])
        desk.warn(where, f"{len(found.unused)} {many} not used: {names}{more}", f"known are: {', '.join(HEADINGS)}")


def _shown(header: Sequence[str], index: int) -> str:
    return f"`{brief(header[index].strip(), 40)}`" if header[index].strip() else f"number {index + 1}, without a name"
