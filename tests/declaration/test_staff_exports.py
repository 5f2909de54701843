"""A hundred exports of other systems, each damaged in its own way: who has left gets no account that can be used, and
no password is shown. The same hundred each time (SEED)."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mailprov.commands import run
from mailprov.declaration.staff import preview
from mailprov.errors import SpecError

SEED = 18
BCRYPT = "$2y$10$abcdefghijklmnopqrstuuJ1qS9T0m7wC1e5l3mJ0y3uQGm7eX8aK"


@dataclass(frozen=True)
class Export:
    """What a system writes: headings, rows, and which of its columns has passwords; ulf@… has left."""

    maker: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    secret: str
    separator: str = ","
    encodings: tuple[str, ...] = ("utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk", "windows-1252")

    def secrets(self) -> set[str]:
        index = self.header.index(self.secret)
        return {row[index] for row in self.rows} - {""}


CHINESE = ("utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk", "gb2312")
EXPORTS = (
    Export(
        "google",
        (
            *("First Name [Required]", "Last Name [Required]", "Email Address [Required]", "Password [Required]"),
            *("Password Hash Function [UPLOAD ONLY]", "Org Unit Path [Required]", "Status [READ ONLY]", "Employee ID"),
            "New Status [UPLOAD ONLY]",
        ),
        (
            ("Nora", "Vale", "nora@acme.test", "Geheim-nora-81", "", "/Sales", "Active", "11", ""),
            ("Ulf", "Gone", "ulf@acme.test", "Geheim-ulf-82", "", "/Sales", "Suspended", "12", ""),
        ),
        "Password [Required]",
    ),
    Export(
        "microsoft",
        ("User principal name", "Display name", "Department", "Block credential", "Password", "Usage location"),
        (
            ("nora@acme.test", "Nora Vale", "Sales", "False", "Geheim-nora-81", "DE"),
            ("ulf@acme.test", "Ulf Gone", "Sales", "True", "Geheim-ulf-82", "DE"),
        ),
        "Password",
        encodings=("utf-8", "utf-8-sig", "utf-16", "windows-1252"),
    ),
    Export(
        "postfixadmin",
        ("username", "password", "name", "local_part", "domain", "active"),
        (
            ("nora@acme.test", "$6$saltsalt$" + "b" * 86, "Nora Vale", "nora", "acme.test", "1"),
            ("ulf@acme.test", BCRYPT, "Ulf Gone", "ulf", "acme.test", "0"),
            ("ida@acme.test", "$1$saltsalt$m4nC90E7Myn/9RUNmyYHT1", "Ida", "ida", "acme.test", "1"),
        ),
        "password",
    ),
    Export(
        "mailcow",
        ("local_part", "domain", "name", "quota", "active", "password"),
        (
            ("nora", "acme.test", "Nora Vale", "1024MiB", "1", "Geheim-nora-81"),
            ("ulf", "acme.test", "Ulf Gone", "1024MiB", "0", "Geheim-ulf-82"),
        ),
        "password",
        ";",
    ),
    Export(
        "zimbra",
        ("mail", "displayName", "zimbraAccountStatus", "userPassword", "password"),
        (
            ("nora@acme.test", "Nora Vale", "active", "", "Geheim-nora-81"),
            ("ulf@acme.test", "Ulf Gone", "locked", "", "Geheim-ulf-82"),
        ),
        "password",
    ),
    Export(
        "active directory",
        ("mail", "displayName", "userAccountControl", "department", "password"),
        (
            ("nora@acme.test", "Nora Vale", "512", "Sales", "Geheim-nora-81"),
            ("ulf@acme.test", "Ulf Gone", "514", "Sales", "Geheim-ulf-82"),
        ),
        "password",
        "\t",
    ),
    Export(
        "exmail",
        ("姓名", "帐号", "域名", "密码", "部门", "帐号状态", "备注"),
        (
            ("王伟", "nora", "acme.test", "Geheim-nora-81", "销售部", "已启用", ""),
            ("李离", "ulf", "acme.test", "Geheim-ulf-82", "销售部", "已禁用", ""),
        ),
        "密码",
        encodings=CHINESE,
    ),
    Export(
        "alimail",
        ("邮箱地址", "姓名", "初始密码", "部门", "离职日期"),
        (
            ("nora@acme.test", "王伟", "Geheim-nora-81", "销售部", ""),
            ("ulf@acme.test", "李离", "Geheim-ulf-82", "销售部", "2024-03-01"),
        ),
        "初始密码",
        encodings=CHINESE,
    ),
    Export(
        "taiwan",
        ("email", "姓名", "密碼", "狀態"),
        (
            ("nora@acme.test", "王偉", "Geheim-nora-81", "正常"),
            ("ulf@acme.test", "李離", "Geheim-ulf-82", "停權"),
        ),
        "密碼",
        encodings=("utf-8", "utf-16", "big5"),
    ),
    Export(
        "german",
        ("E-Mail", "Name", "Passwort", "Kontostatus"),
        (
            ("nora@acme.test", "Nora Völler", "Geheim-nora-81", "aktiv"),
            ("ulf@acme.test", "Ulf Größe", "Geheim-ulf-82", "gesperrt"),
        ),
        "Passwort",
        ";",
        ("utf-8", "windows-1252"),
    ),
    Export(
        "russian",
        ("email", "name", "пароль", "статус"),
        (
            ("nora@acme.test", "Нора", "Geheim-nora-81", "активен"),
            ("ulf@acme.test", "Ульф", "Geheim-ulf-82", "уволен"),
        ),
        "пароль",
        ";",
        ("utf-8", "windows-1251"),
    ),
)


def without(header: Sequence[str], index: int, text: str = "") -> tuple[str, ...]:
    return (*header[:index], text, *header[index + 1 :])


def damaged(export: Export, chance: random.Random) -> tuple[str, Export]:
    """The export with one thing wrong in its header, and what that is.

    Dates and bits below a heading that says nothing are left out: nobody could know what they mean.
    """
    header, rows, index = export.header, export.rows, chance.randrange(len(export.header))
    heading = header[index]
    cut = chance.randrange(len(heading))
    order = list(range(len(header)))
    chance.shuffle(order)
    ways = {
        "none": header,
        "capitals": tuple(map(str.upper, header)),
        "blanks": tuple(f" {each}\u00a0" for each in header),
        "unseen": without(header, index, heading[:cut] + "\u200b" + heading[cut:]),
        "a letter lost": without(header, index, heading[:cut] + heading[cut + 1 :]),
        "a letter more": without(header, index, heading[:cut] + "x" + heading[cut:]),
        "one empty": without(header, index),
        "one unknown": without(header, 0 if export.maker in ("active directory", "alimail") else index, "Zodiac"),
        "one lost": (*header[:index], *header[index + 1 :]),
        "one twice": without(header, index, header[index - 1]),
        "wide commas": ("，".join(header),),
        "shuffled": tuple(header[each] for each in order),
        "no header": (),
    }
    way = chance.choice(list(ways))
    if way == "shuffled":
        rows = tuple(tuple(row[each] for each in order) for row in rows)
    return way, replace(export, header=ways[way], rows=rows)


def text_of(export: Export, codec: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=export.separator)
    writer.writerows([*([export.header] if export.header else []), *export.rows])
    return out.getvalue().encode({"windows-1252": "cp1252", "windows-1251": "cp1251"}.get(codec, codec), "replace")


def cases() -> list[tuple[str, bytes, str, set[str]]]:
    """Name, bytes, the encoding that is said, and what must not be shown, of each."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    found = []
    for number in range(100):
        export = EXPORTS[number % len(EXPORTS)]
        way, broken = damaged(export, chance)
        codec = chance.choice(export.encodings)
        said = chance.choice(["", codec]) if codec != "utf-8-sig" else ""
        name = f"{number}-{export.maker}-{way}-{codec}{'-said' if said else ''}"
        found.append((name, text_of(broken, codec), said, export.secrets()))
    return found


@pytest.mark.parametrize(("body", "said", "secrets"), [case[1:] for case in cases()], ids=[case[0] for case in cases()])
def test_nobody_who_left_and_no_password(
    body: bytes,
    said: str,
    secrets: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("staff.csv").write_bytes(body)
    encoding = f", encoding: {said}" if said else ""
    Path("mail.yaml").write_text(
        "mailprov: 1\nhosts: {mail.acme.test: {address: 192.0.2.10}}\ndomains: [acme.test]\n"
        f"users: [{{from_csv: {{file: staff.csv, domain: acme.test{encoding}}}}}]\n"
        "tls: {self_signed: {}}\nservices: {imap: true}\n"
    )
    try:
        looked = preview(Path("staff.csv"), said, "acme.test")
        usable = {user.address for user in looked.users if user.protocols}
    except SpecError:
        usable = set()
    asked = ["users", "import", "staff.csv", "--domain", "acme.test", *(["--encoding", said] if said else [])]
    statuses = [run(asked), run(["validate"])]
    output = "".join(capsys.readouterr())
    assert looked.errors or "ulf@acme.test" not in usable
    assert statuses == [3 if looked.errors else 0] * 2, output
    assert not [secret for secret in secrets if secret in output]


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.maker)
def test_without_damage_the_others_are_read(export: Export, tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_bytes(text_of(export, "utf-8"))
    found = preview(tmp_path / "staff.csv", "", "acme.test")
    if export.maker == "postfixadmin":
        assert [each.origin.line for each in found.errors] == [2, 3, 4]
    elif export.maker == "alimail":
        assert [each.origin.line for each in found.errors] == [3]
    else:
        assert not found.errors
        assert [(user.address, bool(user.protocols)) for user in found.users] == [
            ("nora@acme.test", True),
            ("ulf@acme.test", False),
        ]
