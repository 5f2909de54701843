"""Exports of other systems, each damaged in many ways: whoever has left gets no account that anybody can log in to, no
password is shown or written, and no damage ends in anything but a yes or an error. The same each time (SEED)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from shutil import rmtree

import pytest
from export_damage import HARMFUL, HARMLESS, SEP
from exports import PASSWORD, Export, exports

from mailprov.commands import run
from mailprov.errors import Exit

pytest.importorskip("openpyxl")

SEED = 18
AS_IT_IS = "as it is"
EXPORTS = exports()
NAMES = {"cp1251": "windows-1251", "cp1252": "windows-1252", "cp932": "shift_jis", "utf-8-sig": "utf-8"}
FOUND_OUT = ("utf-8", "utf-8-sig", "utf-16", "xlsx")
DECLARED = """\
mailprov: 1
hosts: {mail.acme.test: {address: 192.0.2.10}}
domains: [acme.test]
users: [{from_csv: {file: %s, domain: acme.test%s}}]
tls: {self_signed: {}}
services: {pop3: true, imap: true, submission: true}
"""


@dataclass(frozen=True)
class Case:
    """An export as it arrives, and the encoding that is said ("": none)."""

    name: str
    export: Export
    encoding: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.export.maker}, {self.name}, {self.encoding}" + (f", said {self.said}" if self.said else "")


def encoding_of(export: Export, chance: Random) -> str:
    """One of the export's encodings, that has all of its letters."""
    return chance.choice([name for name in export.encodings if can(export, name)])


def can(export: Export, encoding: str) -> bool:
    """Whether an export can be saved so, and is still the same."""
    if encoding == "xlsx":
        return export.above[:1] != (SEP,)
    try:
        export.text().encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def harmless() -> Iterator[Case]:
    """Every export in each of its encodings, and with every other damage that does not matter in one."""
    chance = Random(SEED)  # noqa: S311 - no secret
    for number, export in enumerate(EXPORTS):
        yield from (Case(AS_IT_IS, export, encoding, said(encoding)) for encoding in export.encodings)
        for name, damage in list(HARMLESS.items())[number % 2 :: 2]:
            damaged = damage(export, chance)
            encoding = encoding_of(damaged, chance)
            yield Case(name, damaged, encoding, said(encoding))


def said(encoding: str) -> str:
    return "" if encoding in FOUND_OUT else NAMES.get(encoding, encoding)


def harmful() -> Iterator[Case]:
    """Every export with each damage, in one of its encodings: that one said, or none, or another."""
    chance = Random(SEED)  # noqa: S311 - no secret
    for export in EXPORTS:
        for name, damage in HARMFUL.items():
            damaged = damage(export, chance)
            encoding = encoding_of(damaged, chance)
            others = ("", "", said(encoding), "gbk", "big5", "shift_jis", "euc-kr", "windows-1251", "windows-1252")
            yield Case(name, damaged, encoding, "" if encoding == "xlsx" else chance.choice(others))


Ended = tuple[int, str, dict[str, bool]]
"""exit code, output, and the accounts that would be there with whether anybody can log in to them"""
Judge = Callable[[Case], Ended]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Judge:
    """Lets the commands that look at users read a case, and sees to what holds for every one."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"

    def judged(case: Case) -> Ended:
        file = "staff.xlsx" if case.encoding == "xlsx" else "staff.csv"
        Path(file).write_bytes(case.export.data(case.encoding))
        Path("mail.yaml").write_text(DECLARED % (file, f", encoding: {case.said}" if case.said else ""))
        options = ["--domain", "acme.test", *(["--encoding", case.said] if case.said else [])]
        status = run(["users", "import", file, *options])
        shown = capsys.readouterr()
        assert run(["validate"]) == status and status in (Exit.DONE, Exit.INVALID)
        rendered = case.name not in HARMLESS and (status == Exit.DONE or case.name == AS_IT_IS)
        if rendered:
            assert run(["explain", "--format", "json", "mail.acme.test"]) == run(["render", "-o", "out"]) == status
        output = shown.out + shown.err + "".join(capsys.readouterr())
        written = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
        assert PASSWORD not in (output + written).replace("\0", ""), output
        assert "Traceback" not in output
        lines = re.findall(r"^  (\S+@\S+)  .*?(disabled)?$", shown.out, re.M) if status == Exit.DONE else ()
        accounts = {address: not disabled for address, disabled in lines}
        assert not [address for address in accounts if accounts[address] and not address.startswith("stay")], output
        if rendered and status == Exit.DONE:
            assert usable(out / "mail.acme.test/etc/dovecot/mailprov") == accounts
            rmtree(out)
        return status, output, accounts

    return judged


def usable(folder: Path) -> dict[str, bool]:
    """The accounts that a host would have, and whether they have a service that is not denied."""
    denied = set((folder / "denied").read_text().split()) if (folder / "denied").exists() else set()
    names = [line.partition(":")[0] for line in (folder / "accounts").read_text().splitlines()]
    return {name: any(f"{name}/{service}" not in denied for service in ("imap", "pop3", "smtp")) for name in names}


def addresses(export: Export) -> dict[str, int]:
    """The addresses of an export (or what stands before the @) with the lines they are in."""
    found = {}
    for number, row in enumerate(export.rows, len(export.above) + 2):
        for cell in row:
            if re.match(r"(stay|gone)\d", cell):
                found[cell if "@" in cell else f"{cell}@acme.test"] = number
    return found


@pytest.mark.parametrize("case", list(harmless()), ids=str)
def test_what_does_no_harm_is_read(case: Case, judge: Judge) -> None:
    known = addresses(case.export)
    status, output, accounts = judge(case)
    if case.export.read == "nobody":
        assert status == Exit.INVALID
    elif case.export.read == "all":
        assert accounts == {address: address.startswith("stay") for address in known}, output
    else:
        gone = {line for address, line in known.items() if address.startswith("gone")}
        refused = set(map(int, re.findall(r"^(?:Error: )?staff\.\w+:(\d+):", output, re.M)))
        assert refused and refused <= gone, output
        left = [row for row in case.export.rows if not any(re.match(r"gone\d", cell) for cell in row)]
        _, output, accounts = judge(replace(case, export=replace(case.export, rows=tuple(left))))
        assert accounts == {address: True for address in known if address.startswith("stay")}, output


@pytest.mark.parametrize("case", list(harmful()), ids=str)
def test_nobody_who_has_left_and_no_password(case: Case, judge: Judge) -> None:
    judge(case)


def test_there_are_many() -> None:
    cases: Sequence[Case] = [*harmless(), *harmful()]
    assert len(EXPORTS) >= 20 and len(set(map(str, cases))) >= 900
