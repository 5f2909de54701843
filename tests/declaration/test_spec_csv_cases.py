"""Each file in staff/ is a staff list, and behind a line of `====` what it shall become.

    encode: gb18030          (above the list) the encoding of its file
    list: {file: …}          (above the list) what `from_csv` says; else staff.csv

    user: ADDRESS key=value  a user and some of what is known of her
    expect: 3:5 words        a complaint at line 3, column 5 of the list, whose text (cure included) holds the words
    warn: 1:9 words          a warning there; `mail.yaml words` is one in the declaration

Nothing else may be said, and nobody else be there. `$HASH` is a good hash.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from spec_tools import ENVIRON, HASH, NOW

from mailprov.declaration import load
from mailprov.errors import SpecError
from mailprov.model import PROTOCOLS, Person, Spec, User

CASES = sorted((Path(__file__).parent / "staff").glob("*.txt"))
DECLARED = """\
mailprov: 1
hosts: {mail.example.com: {address: 192.0.2.10}}
domains: [{name: example.com, catch_all: alice@example.org}, {name: 例子.公司, catch_all: alice@example.org}]
users: [%s{from_csv: %s}]
tls: {self_signed: {}}
services: {imap: true}
"""
ALICE = "{address: alice@example.com, password: {initial: {env: PW}}}, "


def split(text: str) -> tuple[dict[str, str], str, str]:
    """What stands above the list, the list, and what is expected of it."""
    above: dict[str, str] = {}
    while found := re.match(r"(encode|list): (.+)\n", text):
        above[found[1]] = found[2]
        text = text[found.end() :]
    body, _, wanted = text.partition("====\n")
    return above, body, wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above, body, wanted = split(case.read_text(encoding="utf-8").replace("$HASH", HASH))
    (tmp_path / "staff.csv").write_bytes(body.encode(above.get("encode", "utf-8")))
    (tmp_path / "staff.csv").chmod(0o600)
    declared = DECLARED % (ALICE if "mail.yaml:" in wanted else "", above.get("list", "staff.csv"))
    (tmp_path / "mail.yaml").write_text(declared, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    expected = {kind: re.findall(rf"^{kind}: (.+)$", wanted, re.M) for kind in ("user", "expect", "warn")}
    try:
        spec = load(Path("mail.yaml"), environ=ENVIRON, now=NOW)
    except SpecError as error:
        assert not expected["user"], str(error)
        assert "hunter2" not in str(error)
        match([str(diagnostic) for diagnostic in error.errors], expected["expect"])
        return
    assert not expected["expect"]
    match(list(spec.warnings), expected["warn"])
    judge(spec, expected["user"])


def match(said: list[str], wanted: list[str]) -> None:
    for want in wanted:
        place, _, words = want.partition(" ")
        start = "mail.yaml:" if place == "mail.yaml" else f"staff.csv:{place}: "
        found = next((each for each in said if each.startswith(start) and words in each), None)
        assert found is not None, f"nobody said {want!r}; left:\n" + "\n".join(said)
        said.remove(found)
    assert not said, "unexpected:\n" + "\n".join(said)


def judge(spec: Spec, wanted: list[str]) -> None:
    users = [user for user in spec.users if user.address != "alice@example.com" or len(wanted) == len(spec.users)]
    assert [user.address for user in users] == [line.split(" ")[0] for line in wanted]
    for user, line in zip(users, wanted, strict=True):
        known = facts(user)
        for key, value in re.findall(r" ([a-z_]+)=(.*?)(?= [a-z_]+=|$)", line):
            assert known[key] == value, f"{user.address}: {key}"


def facts(user: User) -> dict[str, str]:
    """What a `user:` line may say."""
    person = user.person or Person()
    assert user.origin is not None
    return {
        "name": user.name,
        "quota": str(user.quota),
        "expire": str(user.expire),
        "protocols": ",".join(name for name in PROTOCOLS if name in user.protocols),
        "aliases": ",".join(user.aliases),
        "password": user.password.ownership,
        "known": "yes" if user.password.hash or user.password.plaintext else "no",
        "line": f"{user.origin.line}:{user.origin.column}",
        **{field: getattr(person, field) for field in Person.__dataclass_fields__},
    }
