"""Staff lists: what no case file can say. Their cases are in staff/ (test_spec_csv_cases.py)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_tools import ENVIRON, HASH, NOW, fuzz

from mailprov.credentials.passwords import initial_hash
from mailprov.declaration import encodings, fast_records, files, load, table, workbook_parts
from mailprov.declaration.cells import full_name, words
from mailprov.declaration.columns import HEADINGS, plain
from mailprov.declaration.encodings import ENCODINGS, named
from mailprov.declaration.staff import preview
from mailprov.declaration.values import display_name
from mailprov.errors import Diagnostic, MailprovError, Origin, SpecError
from mailprov.model import GENERATED, Password, Person, Secret, Spec, User

DECLARED = """\
mailprov: 1
hosts: {mail.example.com: {address: 192.0.2.10}}
domains: [{name: example.com, catch_all: elsewhere@example.org}]
users:
  - from_csv: LIST
tls: {self_signed: {}}
services: {imap: true}
"""
Declare = Callable[..., Spec]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """load(), of a declaration with this staff list."""
    monkeypatch.chdir(tmp_path)

    def loaded(body: str | bytes, declared: str = DECLARED, from_csv: str = "staff.csv") -> Spec:
        (tmp_path / "staff.csv").write_bytes(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
        (tmp_path / "mail.yaml").write_text(declared.replace("LIST", from_csv), encoding="utf-8")
        return load(Path("mail.yaml"), environ=ENVIRON, now=NOW)

    return loaded


def errors(body: str | bytes, declare: Declare, **more: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as error:
        declare(body, **more)
    return list(error.value.errors)


# --- many


def rows(count: int) -> list[str]:
    return [f"user{number:06}@example.com,用户{number},{HASH},2GiB,研发部" for number in range(count)]


HEADER = "address,name,password_hash,quota,department"


def test_thirty_seven_of_a_hundred_thousand_are_wrong(declare: Declare) -> None:
    lines = rows(100_000)
    faults = ["user{}@example.com,x,y", "user{},A,{HASH},2GiB,", "user{}@example.com,A,{MD5}x,2GiB,"]
    faults += ["user{}@example.com,A,{HASH},2G,", "user{}@example.com,=A,{HASH},2GiB,", 'user{}@example.com,"A,,,']
    faults += ["user{}@example{}.com,A,{HASH},2GiB,", "user000007@example.com,A,{HASH},2GiB,"]
    wrong = range(2_000, 100_000, 2_700)
    assert len(wrong) == 37
    for number, index in enumerate(wrong):
        lines[index] = faults[number % len(faults)].replace("{}", str(index)).replace("{HASH}", HASH)
    said = errors("\n".join([HEADER, *lines, ""]), declare)
    assert [each.origin.line for each in said] == [index + 2 for index in wrong]
    assert {each.origin.file for each in said} == {"staff.csv"}
    assert all(each.fix for each in said)


def test_a_hundred_thousand_are_read(declare: Declare) -> None:
    spec = declare("\n".join([HEADER, *rows(100_000)]))
    assert len(spec.users) == len(spec.users_of("mail.example.com")) == 100_000
    last = spec.users[-1]
    assert (last.address, last.name, last.quota) == ("user099999@example.com", "用户99999", 2 << 30)
    assert last.origin == Origin("staff.csv", 100_001, 1)
    assert last.person is spec.users[0].person
    assert last.person == Person(department="研发部")
    assert gc.isenabled()


def test_too_many_faults_end_the_reading(declare: Declare) -> None:
    for row in ("nobody,A,,,", "a,b", 'a"'):
        said = errors("\n".join([HEADER, *[row] * 5_000]), declare)
        assert len(said) == 1001
        assert "checking stopped after 1,000 errors" in said[-1].what


def test_a_huge_file_is_refused_unread(declare: Declare, tmp_path: Path) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(1 << 30)
    (said,) = errors("", declare, from_csv="huge.csv")
    assert str(said).startswith("mail.yaml:5:15: huge.csv is larger than 64 MiB")


def test_one_endless_line(declare: Declare) -> None:
    for line in ("x" * 3_000_000, '"' + "x" * 3_000_000, '"' * 3_000_001, "," * 100_000):
        assert errors(f"{HEADER}\n{line}", declare)


# --- with the rest of a declaration


def test_the_same_address_in_two_lists_and_in_the_declaration(declare: Declare, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("address\nALICE@example.com\ninfo@example.com\n", encoding="utf-8")
    declared = DECLARED.replace("LIST", "staff.csv\n  - from_csv: more.csv\n  - from_csv: LIST")
    declared += "aliases: [{address: info@example.com, to: alice@example.com}]\n"
    said = [str(each).partition("\n")[0] for each in errors("address\nalice@example.com\n", declare, declared=declared)]
    assert said == [
        "more.csv:2:1: `ALICE@example.com` is declared already as `alice@example.com` (user, staff.csv:2:1)",
        "more.csv:3:1: `info@example.com` is declared already (alias, mail.yaml:10:21)",
        "staff.csv:2:1: `alice@example.com` is declared already (user, staff.csv:2:1)",
    ]


def test_aliases_may_lead_to_users_of_a_list(declare: Declare) -> None:
    declared = DECLARED + "aliases: [{address: info@example.com, to: alice@example.com}]\n"
    assert declare("address\nalice@example.com\n", declared).aliases[0].to == ("alice@example.com",)


@pytest.mark.parametrize("body", ["address\nalice@exam ple.com\n", "address,name\nalice@example.com\n", "nothing\n"])
def test_what_a_faulty_line_would_declare_is_not_called_undeclared(body: str, declare: Declare) -> None:
    declared = DECLARED + "aliases: [{address: info@example.com, to: alice@example.com}]\n"
    (said,) = errors(body, declare, declared=declared)
    assert said.origin.file == "staff.csv"


def test_targets_are_judged_where_every_address_is_known(declare: Declare) -> None:
    declared = DECLARED.replace(", catch_all: elsewhere@example.org", "")
    declared += "aliases: [{address: info@example.com, to: alic@example.com}]\n"
    first, second = errors("address,quota\nalice@example.com,2\n", declare, declared=declared)
    assert "alic@example.com, an address nobody has" in first.what
    assert second.origin == Origin("staff.csv", 2, 19)


def test_a_list_of_a_trusted_file_is_beside_it(declare: Declare, tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/a.yaml").write_text("users: [{from_csv: a.csv}]\n", encoding="utf-8")
    (tmp_path / "teams/a.csv").write_text("address\na@example.com\n", encoding="utf-8")
    spec = declare("address\nb@example.com\n", DECLARED + "include: [{files: teams/*.yaml, trusted: true}]\n")
    assert [user.address for user in spec.users] == ["b@example.com", "a@example.com"]


@pytest.mark.parametrize(
    ("from_csv", "words"),
    [
        ("absent.csv", "absent.csv cannot be read: No such file"),
        (".", ". is not a regular file"),
        ("{file: staff.csv, encoding: utf8}", "did you mean `utf-8`?"),
        ("{file: staff.csv, domain: nodot}", '"nodot" is not a full domain name'),
        ("{file: staff.csv, defaults: {quota: 5}}", "give the number a unit"),
        ("{file: staff.csv, defaults: {quota: 5G}}", "did you mean 5GiB?"),
        ("{file: staff.csv, defaults: {allow_from: [10.0.0.1/8]}}", "did you mean 10.0.0.0/8?"),
        ("{file: staff.csv, defaults: {password: {hash: nothing}}}", "this is not a password hash"),
        ("{encoding: utf-8}", "`file` is missing"),
        ("[staff.csv]", "expected text or a mapping, found a list"),
        ("staff.csv\n    quota: 2GiB", "write it in `defaults`"),
        ("{file: staff.csv, encoding: utf-16}", "staff.csv: "),
    ],
)
def test_what_a_declaration_says_of_a_list(from_csv: str, words: str, declare: Declare) -> None:
    (said,) = errors("address\na@example.com\n", declare, from_csv=from_csv)
    assert words in str(said)
    assert said.origin.file == "mail.yaml"


def test_other_names_for_it_are_set_right(declare: Declare) -> None:
    said = errors("", declare, declared=DECLARED.replace("from_csv", "csv"))
    assert "- from_csv: staff.csv" in "".join(map(str, said))


# --- passwords


def test_a_user_without_a_password_gets_one_when_the_account_is_made(declare: Declare) -> None:
    for body in ("address,name\na@example.com,A\n", "address,password\na@example.com,\n"):
        (user,) = declare(body).users
        assert user.password == GENERATED
        with pytest.raises(MailprovError, match="was not generated"):
            initial_hash(user)


def test_a_default_password_comes_first(declare: Declare) -> None:
    declared = "{file: staff.csv, defaults: {password: {initial: {env: SAME}}}}"
    (user,) = declare("address,name\na@example.com,A\n", from_csv=declared).users
    assert user.password == Password("initial", "env SAME")


def test_initial_passwords_may_be_hashes(declare: Declare) -> None:
    first, second = declare(f'address,password\na@example.com,{HASH}\nb@example.com,"a ""b"", c"\n').users
    assert (first.password.ownership, first.password.hash) == ("initial", Secret(HASH))
    assert second.password.plaintext == Secret('a "b", c')


@pytest.mark.parametrize("body", ["hunter2\n", "a@example.com,hunter2,x\n", "hunter2,a@example.com\n", '"hunter2\n'])
def test_no_password_is_in_a_message(body: str, declare: Declare) -> None:
    said = errors(f"address,password\n{body}", declare)
    assert "hunter2" not in "".join(map(str, said))
    said = errors(f"{body}", declare)
    assert "hunter2" not in "".join(map(str, said))


def test_blanks_around_a_cell_are_no_part_of_it(declare: Declare) -> None:
    row = ["a@example.com", "A", HASH, "2GiB", "pop3", "yes", "x@example.org", "Research", "Boss", "+1 555 0100", "7"]
    row += ["info@example.com"]
    header = "address,name,password_hash,quota,protocols,enabled,contact,department,title,mobile,employee_id,aliases"
    (close,) = declare(f"{header}\n{','.join(row)}\n").users
    (apart,) = declare(f"{header}\n {' , '.join(row)} \n").users
    assert apart == close


@fuzz(300)
@given(
    cells=st.lists(st.sampled_from(["", " ", "a", HASH, f" {HASH} ", "pop3", "2GiB", "no", "7", "\u3000"]), min_size=8)
)
def test_no_row_is_lost(cells: list[str], declare: Declare) -> None:
    header = "address,name,password_hash,quota,protocols,enabled,mobile,aliases"
    try:
        assert len(declare(f"{header}\na@example.com,{','.join(cells[:7])}\n").users) == 1
    except SpecError as error:
        assert not [each for each in error.errors if "cannot be understood" in each.what]


# --- the reader


@fuzz(400)
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-16", "ignore"))))
def test_any_bytes(body: bytes, declare: Declare) -> None:
    try_all(declare, body)


CELLS = st.one_of(
    st.sampled_from(
        ["a@example.com", "A@EXAMPLE.com", "a", HASH, "2GiB", "pop3", "1.38E+10", "王伟", '"', "\0", "=1", "\ufeff"]
    ),
    st.text(st.one_of(st.sampled_from('\n\r\t,;"\0=+-@*#{} '), st.characters(exclude_categories=["Cs"])), max_size=8),
)


@fuzz(800)
@given(
    header=st.lists(st.one_of(st.sampled_from(["address", "local_part", *HEADINGS]), CELLS), min_size=1, max_size=8),
    cells=st.lists(st.lists(CELLS, max_size=8), max_size=5),
    separator=st.sampled_from(",;\t"),
    codec=st.sampled_from(["utf-8", "gb18030", "utf-16", "utf-8-sig"]),
    quoted=st.booleans(),
)
def test_any_table(
    header: list[str], cells: list[list[str]], separator: str, codec: str, quoted: bool, declare: Declare
) -> None:
    def line(cells: Iterable[str]) -> str:
        return separator.join('"' + cell.replace('"', '""') + '"' if quoted else cell for cell in cells)

    try_all(declare, "\n".join(map(line, [header, *cells])).encode(codec))


def try_all(declare: Declare, body: bytes) -> None:
    for from_csv in ("staff.csv", "{file: staff.csv, encoding: gbk, domain: example.com}"):
        try:
            spec = declare(body, from_csv=from_csv)
        except SpecError as error:
            assert error.errors
        else:
            for user in spec.users:
                assert set(user.address) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-@")
                assert display_name(user.name) == user.name
                assert not set(repr(user.person)) & set("\n\r\0")


@fuzz(500)
@given(text=st.text(st.sampled_from("Aa b.'-·=+#\u0301\u200f王é"), max_size=6))
def test_a_plain_name_is_what_the_whole_check_says(text: str) -> None:
    try:
        found = words(text)
    except ValueError:
        return
    assert found == display_name(text)


def test_a_record_is_a_user_like_any_other() -> None:
    password = Password("managed", "x", Secret(HASH))
    origin, person = Origin("staff.csv", 2, 1), Person("a@b.c")
    assert fast_records.managed("x", HASH) == password
    fields: tuple[Any, ...] = (
        "a@b.c",
        password,
        "A",
        5,
        frozenset({"pop3"}),
        (),
        ("b@b.c",),
        origin,
        person,
        90,
        "c@b.c",
    )
    made = fast_records.user(*fields)
    assert made == User(*fields)
    assert repr(made) == repr(User(*fields))
    with pytest.raises(FrozenInstanceError):
        made.name = "B"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [("Alice", "Example", "Alice Example"), ("伟", "王", "王伟"), ("", "Example", "Example"), ("민준", "김", "김민준")],
)
def test_names_of_two_parts(first: str, last: str, name: str) -> None:
    assert full_name(first, last) == name


def test_headings_are_plain_and_mean_one_thing() -> None:
    every = [heading for known in HEADINGS.values() for heading in known]
    assert len(every) == len(set(every))
    assert all(plain(heading) == heading for heading in every)
    assert plain("\ufeff Ｅmail　Address* [Required]") == "email address"


def test_damaged_utf8_is_not_taken_for_gb18030(declare: Declare) -> None:
    body = "address,name\n" + "".join(f"u{number}@example.com,王伟\n" for number in range(20))
    (said,) = errors(body.encode() + b"x@example.com,\xb0\xa1\n", declare)
    assert "line 22 is not UTF-8, while all before it is" in said.what
    (said,) = errors(b"address\na@example.com\n\xff\xff\n", declare)
    assert "line 3 is neither UTF-8 nor GB18030" in said.what


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"PK\x03\x04x", ".xlsx"),
        (b"\xd0\xcf\x11\xe0", ".xls"),
        (b"%PDF-1", "PDF"),
        ("address\n".encode("utf-16-le"), "NUL"),
    ],
)
def test_what_is_no_csv(body: bytes, words: str, declare: Declare) -> None:
    (said,) = errors(body, declare)
    assert words in str(said)


def test_line_ends_of_every_kind(declare: Declare) -> None:
    for end in ("\n", "\r\n", "\r"):
        spec = declare(end.join(["address,name", "a@example.com,A", "b@example.com,B"]))
        assert [(user.name, user.origin and user.origin.line) for user in spec.users] == [("A", 2), ("B", 3)]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "gb18030"])
def test_lines_across_pieces(codec: str, declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "address,name\r\na@example.com,王\r\n\r\nb@example.com,𠮷\rc@example.com,C\r\n".encode(codec)
    for size in range(1, 40):
        monkeypatch.setattr(table, "_PIECE", size)
        monkeypatch.setattr(encodings, "_PIECE", size)
        users = declare(body).users
        assert [(user.name, user.origin and user.origin.line) for user in users] == [("王", 2), ("𠮷", 4), ("C", 5)]


def test_encodings_have_names() -> None:
    assert all(named(name) == name for name in ENCODINGS)
    assert (named("UTF_8"), named("cp932")) == ("utf-8", "shift_jis")


def test_a_look_at_a_file_without_a_declaration(tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("帐号,姓名,性别\nwang,王伟,男\nWANG,王,男\n", encoding="gb18030")
    found = preview(file, "", "example.com")
    assert found.form == "GB18030, separated by commas"
    assert found.columns == (("帐号", "local_part"), ("姓名", "name"), ("性别", ""))
    assert [user.address for user in found.users] == ["wang@example.com"] * 2
    (said,) = found.errors
    assert said.origin == Origin(str(file), 3, 1)
    assert "not known here" in str(preview(file, "klingon", "").errors[0])


# --- spreadsheets

CELL_TYPES = [
    ["邮箱地址", "姓名", "手机", "启用", "编号", None],
    ["a@example.com", "王伟", 13800138000, True, 7.0, None],
    [None, None],
    ["b@example.com", "=1", 1.5, False, 8],
    ["c@example.com", "C", None, None, None, "stray"],
]


def judge_spreadsheet(file: Path) -> None:
    found = preview(file, "", "")
    assert found.form == "a spreadsheet"
    (user,) = found.users
    assert (user.address, user.name, bool(user.protocols)) == ("a@example.com", "王伟", True)
    assert user.person == Person(mobile="13800138000", employee_id="7")
    assert [(each.origin.line, each.origin.column) for each in found.errors] == [(4, 2), (4, 3), (5, 6)]


def test_a_real_spreadsheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in CELL_TYPES:
        book.active.append(["'=1" if cell == "=1" else cell for cell in row])
    book.active["B4"].value = "+1"
    book.save(tmp_path / "staff.xlsx")
    judge_spreadsheet(tmp_path / "staff.xlsx")
    with monkeypatch.context() as smaller:
        smaller.setattr(workbook_parts, "MAX_UNPACKED", 0)
        assert "unpacks to more than" in str(preview(tmp_path / "staff.xlsx", "", "").errors[0])
    (tmp_path / "staff.xlsx").write_bytes(b"PK\x03\x04 nothing")
    assert "not a spreadsheet that can be read" in str(preview(tmp_path / "staff.xlsx", "", "").errors[0])


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (said,) = preview(tmp_path / "staff.xlsx", "", "").errors
    assert "pip install 'openpyxl>=3.1' (the extra `xlsx`); or save the table as CSV" in said.fix


def test_limits_are_generous() -> None:
    assert files.MAX_TABLE >= 100_000 * 200
