"""What the columns of a staff list mean: their headings, in English and Chinese, as mail systems write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from mailprov.declaration.diagnostics import Diagnostics
from mailprov.declaration.encodings import other_readings
from mailprov.declaration.states import STATES
from mailprov.declaration.table import Table
from mailprov.declaration.unseen import without_unseen

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    # `address` comes after `user name`: Microsoft 365 has both, and its `address` is that of a house
    "address": (
        *("email address", "e-mail address", "emailaddress", "email_address", "邮箱地址", "邮件地址", "电子邮件地址"),
        # before `邮箱`: DingTalk and Feishu have both, and that is one elsewhere
        *("企业邮箱账号", "企业邮箱帐号", "企业邮箱", "work email", "電子郵件地址", "郵箱地址", "電子郵件"),
        *(
            "user principal name",
            "userprincipalname",
            "郵箱",
            "邮箱",
            "邮箱帐号",
            "邮箱账号",
            "电子邮箱",
            "电子邮件",
            "email",
            "e-mail",
            "mail",
            "user name",
            "address",
        ),
    ),
    "local_part": ("local_part", "local part", "localpart", "帐号", "账号", "用户名", "username", "英文id"),
    "domain": ("domain", "域名", "邮箱域名"),
    "name": (
        *("name", "姓名", "display name", "displayname", "显示名称", "显示名", "common name", "full name", "员工姓名"),
        "cn",
    ),
    "first_name": ("first name", "firstname", "first_name", "given name", "first", "名", "名字"),
    "last_name": ("last name", "lastname", "last_name", "surname", "family name", "last", "姓", "姓氏", "sn"),
    "password_hash": ("password_hash", "password hash", "passwordhash", "密码哈希", "密码散列"),
    "password": (
        *("password", "initial password", "initial_password", "密码", "初始密码", "登录密码", "密碼", "初始密碼"),
        *("passwort", "kennwort", "mot de passe", "contraseña", "пароль", "パスワード", "비밀번호"),
        *("邮箱密码", "登陆密码", "initialpassword", "pwd"),
    ),
    "quota": ("quota", "容量", "配额", "邮箱容量", "空间", "mailbox size"),
    "expire": ("expire", "retention", "retention days", "保留天数", "邮件保留天数", "保留期限"),
    "protocols": ("protocols", "protocol", "协议", "允许协议"),
    "aliases": ("aliases", "alias", "别名", "邮箱别名"),
    "previous_address": (
        *("previous_address", "previous address", "former address", "old address", "old email", "previous email"),
        *("原邮箱", "原邮箱地址", "旧邮箱", "旧邮箱地址", "曾用邮箱", "原郵箱", "舊郵箱"),
    ),
    "enabled": STATES,
    "contact": ("contact", "个人邮箱", "备用邮箱", "alternate email address", "recovery email", "personal email"),
    "department": ("department", "部门", "所属部门", "org unit path"),
    "title": ("title", "职务", "职位", "岗位", "job title", "jobtitle", "employee title"),
    "mobile": ("mobile", "手机", "手机号", "手机号码", "移动电话", "mobile phone", "mobilephone"),
    "language": ("language", "preferred language", "lang", "语言", "首选语言", "指南语言"),
    "employee_id": (
        *("employee_id", "employee id", "employeeid", "employee number", "employeenumber", "编号", "工号", "员工编号"),
    ),
}
"""field → the headings that mean it, the surest first, in the form that `plain` gives"""
_SCHEMES: Final = ("password hash function", "hash function", "password scheme", "password_scheme", "password type")
"""headings of columns that say what a password is a hash of"""
_OTHERS: Final = frozenset(
    {
        *("username", "new primary email", "last sign in", "home secondary email", "work secondary email"),
        *("work phone", "home phone", "work address", "home address", "recovery phone"),
        *("change password at next sign-in", "notes", "cost center", "building id", "floor name", "floor section"),
        *("email usage", "drive usage", "total storage", "2sv enrolled", "2sv enforced", "manager email"),
        *("employee type", "new licenses", "gender", "state", "country", "postal code", "phone number"),
        *("preferred language", "dirsyncenabled", "last dirsync time", "last password change time stamp"),
        *("password never expires", "strong password required", "release track", "license assignment details"),
        *("oath token metadata", "preferred data location", "office", "office phone", "fax", "city"),
        *("state or province", "zip or postal code", "country or region", "street address", "usage location"),
        *("licenses", "proxy addresses", "object id", "when created", "last login", "created", "modified", "maildir"),
        *("phone", "telephone", "birthday", "language", "remark", "remarks", "id", "性别", "备注", "出生日期"),
        *("生日", "座机", "固定电话", "分机", "工位", "地址", "入职日期", "入职时间", "直属上级", "别名邮箱", "序号"),
        *("微信", "手机号码2", "国家", "城市", "最后登录时间", "创建时间", "性別", "備註", "员工userid", "办公地点"),
        *("主管", "直属主管", "是否部门主管", "是否部门负责人", "是否高管", "工作城市", "转正日期", "出生年月"),
        *("hire date", "start date", "joining date", "join date", "date of birth", "birth date", "入社日", "生年月日"),
        *("eintrittsdatum", "geburtsdatum", "abteilung", "telefon", "distinguishedname", "dn", "objectclass"),
        *("objectguid", "samaccountname", "sid", "passwordexpired", "passwordneverexpires", "passwordnotrequired"),
        *("passwordlastset", "pwdlastset", "lockouttime", "lastlogondate", "lastlogon", "lastlogontimestamp"),
        *("whencreated", "whenchanged", "createddatetime", "usertype", "usagelocation", "streetaddress"),
        *("officelocation", "postalcode", "telephonenumber", "agegroup", "companyname", "creationtype"),
        *("directorysynced", "onpremisessyncenabled", "invitationstate", "identityissuer", "zimbracosid", "uid"),
        *("到職日期", "advanced protection program enrollment"),
    }
)
"""further headings that are known to be headings"""
_FIELDS: Final = {heading: (field, rank) for field, known in HEADINGS.items() for rank, heading in enumerate(known)}
_NOTE: Final = re.compile(
    r"\[[^\]]*\]|\((?:required|optional|必填项?|选填项?|非必填|可选|必須|必填欄位|選填|pflichtfeld)\)|[*\ufeff]|:\s*$",
    re.I,
)
"""what stands in a heading beside its name; other words in round brackets may belong to it: `邮箱(个人)`"""
_WITHIN: Final = re.compile("(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
"""a blank that makes a word of ideographs as wide as another"""
_ENCODING: Final = "name the right `encoding`, so that nobody who has left is overlooked"
_ADDRESS: Final = re.compile(r"[^\s@]+[@＠][^\s@]+\.[^\s@]+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which field: `at` has a column's index for each field that there is."""

    at: Mapping[str, int]
    unused: tuple[int, ...]
    states: tuple[int, ...] = ()
    """columns that say who may use a mailbox: each of them must agree"""
    scheme: int = -1
    """the column that says what a password is a hash of"""


def plain(heading: str) -> str:
    """A heading as it is compared: NFKC, in one case, without `*`, `[Required]`, `(必填)` and needless blanks."""
    text = unicodedata.normalize("NFKC", without_unseen(heading))
    return _WITHIN.sub("", " ".join(_NOTE.sub(" ", text).casefold().split()))


def columns(table: Table, domain: str, ignored: Collection[str], diagnostics: Diagnostics) -> Columns | None:
    """What the table's columns are, without those whose headings are `ignored`.

    None, after a complaint, where they do not say who the users are; `domain` is what local parts alone belong to.
    """
    found = _found(table, frozenset(map(plain, ignored)), diagnostics)
    here = table.heading(0)
    if not found.at and not found.states:
        what = "the first line names no column that is known here"
        diagnostics.complain(here, what, f"known are, among others: {', '.join(HEADINGS)}")
        return None
    if any(map(_ADDRESS.fullmatch, map(str.strip, table.header))):
        what = "the first line holds a mail address: it is a user, and no headings"
        diagnostics.complain(here, what, f"write a line above it that names the columns: {', '.join(HEADINGS)}")
        return None
    if "address" not in found.at and "local_part" not in found.at:
        diagnostics.complain(here, "no column holds the mail address", "call one `address` (邮箱地址), or `local_part`")
        return None
    if "address" not in found.at and "domain" not in found.at and not domain:
        fix = "name it: from_csv: {file: …, domain: example.com}, or add a column `domain`"
        diagnostics.complain(here, "nothing says which domain these users are in", fix)
        return None
    return found if _is_clear(table, found, diagnostics) else None


def _is_clear(table: Table, found: Columns, diagnostics: Diagnostics) -> bool:
    """Whether no column that is not used may be one that says who has left; complains about those that may."""
    before = len(diagnostics.errors)
    for index in found.unused:
        text = plain(table.header[index])
        if not text or is_heading(text):
            continue
        here = table.heading(index)
        if table.guessed and not text.isascii():
            what = f"the encoding was guessed ({table.guessed}), and the heading of column {index + 1} is not known"
            diagnostics.complain(here, what, _ENCODING)
        elif any(map(is_heading, other_readings(table.header[index], table.codec))):
            what = f"the heading of column {index + 1} is not known, and would be in another encoding"
            diagnostics.complain(here, what, _ENCODING)
        elif close := get_close_matches(text[:100], STATES, 1, 0.8):
            what = f"the heading of column {index + 1} is nearly one that says who may use a mailbox"
            diagnostics.complain(here, what, f"did you mean `{close[0]}`? else rename it, or `ignore` it")
    return len(diagnostics.errors) == before


def _found(table: Table, ignored: Set[str], diagnostics: Diagnostics) -> Columns:
    best: dict[str, tuple[int, int]] = {}
    states: list[int] = []
    scheme = -1
    left_out = {index for index, heading in enumerate(table.header) if plain(heading) in ignored - {""}}
    for index, heading in enumerate(table.header):
        if index in left_out:
            continue
        field, rank = _FIELDS.get(plain(heading), ("", 0))
        if field == "enabled":
            states.append(index)
        elif plain(heading) in _SCHEMES:
            scheme = index
        if not field:
            continue
        known = best.get(field)
        if known is not None and known[0] == rank:
            what = f"the column `{without_unseen(heading).strip()}` stands twice"
            diagnostics.complain(table.heading(index), what, "delete one of them, or rename it")
        elif known is None or rank < known[0]:
            best[field] = (rank, index)
    if "address" in best:
        best.pop("local_part", None)
    if "name" in best:
        for other in ("first_name", "last_name"):
            best.pop(other, None)
    at = {field: index for field, (_, index) in best.items()}
    used = {*at.values(), *states, scheme, *left_out}
    return Columns(at, tuple(index for index in range(len(table.header)) if index not in used), tuple(states), scheme)


def warn_of_unused(table: Table, found: Columns, diagnostics: Diagnostics) -> None:
    """Warn, once, of the columns that are not used."""
    if found.unused:
        names = ", ".join(shown(table.header, index) for index in found.unused[:20])
        more = f" and {len(found.unused) - 20} more" if len(found.unused) > 20 else ""
        many = "columns are" if len(found.unused) > 1 else "column is"
        where = table.heading(found.unused[0])
        what = f"{len(found.unused)} {many} not used: {names}{more}"
        diagnostics.warn(where, what, f"rename or `ignore` them; known are: {', '.join(HEADINGS)}")


def shown(header: Sequence[str], index: int) -> str:
    """A column's heading if it is known to be one, else its number: what looks like a heading may be a password."""
    return f"`{without_unseen(header[index]).strip()}`" if is_heading(header[index]) else f"number {index + 1}"


def is_heading(text: str) -> bool:
    """Whether a text is known to be a heading."""
    found = plain(text)
    return found in _FIELDS or found in _OTHERS or found in _SCHEMES
