"""Parts are people: an included file reaches no machine, no other file and no secret, unless it is the operator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from spec_tools import HASH, NOW, SMALL

from mailprov.declaration import Reading, load, schema
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.files import Surroundings
from mailprov.errors import SpecError
from mailprov.model import Spec

TRUSTED = "include: [{files: parts/*.yaml, trusted: true}]\n"


class Watched(Mapping[str, str]):
    """An environment that knows which of its variables were read."""

    def __init__(self, **values: str) -> None:
        self.values_, self.read = values, set[str]()

    def __getitem__(self, name: str) -> str:
        value = self.values_[name]
        self.read.add(name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self.values_

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def declared(
    folder: Path, part: str, include: str = "include: [parts/*.yaml]\n", environ: Mapping[str, str] | None = None
) -> Spec:
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "mail.yaml").write_text(SMALL + include, encoding="utf-8")
    (folder / "parts/a.yaml").write_text(part, encoding="utf-8")
    return load(folder / "mail.yaml", environ=environ or {"PW": "x"}, now=NOW)


def complaints(folder: Path, part: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SpecError) as caught:
        declared(folder, part, environ=environ)
    assert all(each.origin.file == str(folder / "parts/a.yaml") for each in caught.value.errors)
    return [f"{each.origin.line}:{each.origin.column} {each.what}" for each in caught.value.errors]


EVIL = """\
hosts:
  evil: {address: 198.51.100.3, hostname: evil.example.org, become: true, become_password: {env: STOLEN},
         ssh: {identity_file: id, known_hosts: kh}, tls: {certificate: {file: /etc/hosts}, key: {env: STOLEN}}}
domains: [{name: example.org, hosts: [evil]}]
users:
  - {address: x@example.org, password: {initial: {env: STOLEN}}}
  - {address: y@example.org, password: {hash: {env: STOLEN}}}
  - {address: z@example.org, password: {hash: {file: /etc/shadow}}}
  - from_csv: {file: ../../staff.csv, defaults: {password: {initial: {file: /etc/shadow}}}}
  - {from_csv: /etc/passwd}
"""


def test_whoever_writes_a_part_reaches_no_machine_and_no_secret(tmp_path: Path) -> None:
    environ = Watched(STOLEN="s3cret", PW="x")
    only = "may stand in the main file only"
    assert complaints(tmp_path, EVIL, environ) == [
        f"1:1 `hosts` {only}",
        f"6:51 `env` {only}",
        f"7:48 `env` {only}",
        f"8:48 `file` {only}",
        f"9:5 `from_csv` {only}",
        f"10:6 `from_csv` {only}",
    ]
    assert "STOLEN" not in environ.read


@pytest.mark.parametrize(
    "password",
    [
        "{initial: {file: s}}",
        "{initial: {file: s, env: STOLEN}}",
        "{hash: {file: s}}",
        "{env: STOLEN}",
        "{file: s}",
        "&p {initial: {env: STOLEN}}",
        '{"init\\u0069al": {"en\\u0076": STOLEN}}',
        "{initial: {hash: {env: STOLEN}}}",
    ],
)
def test_a_password_of_a_part_is_a_hash(password: str, tmp_path: Path) -> None:
    environ = Watched(STOLEN="s3cret", PW="x")
    found = complaints(tmp_path, f"users: [{{address: x@example.com, password: {password}}}]\n", environ)
    assert all(each.startswith("1:") for each in found)
    assert "STOLEN" not in environ.read


@pytest.mark.parametrize("key", ["ssh", "become_password", "known_hosts", "tls", "groups", "handout", "firewall"])
def test_what_is_about_machines_stands_in_the_main_file(key: str, tmp_path: Path) -> None:
    (found,) = complaints(tmp_path, f"users: []\n{key}: {{}}\n")
    assert found == f"2:1 `{key}` may stand in the main file only"


def test_a_part_holds_what_belongs_to_people(tmp_path: Path) -> None:
    text = f"""\
domains: [{{name: example.net, hosts: [mail.example.com], catch_all: a@example.net}}]
users:
  - {{address: a@example.net, name: A, quota: 1GiB, expire: 90d, protocols: [imap], allow_from: [10.0.0.0/8],
     aliases: [b@example.net], password: {{hash: "{HASH}"}}}}
  - {{address: c@example.net, password: {{initial: {{hash: "{HASH}"}}}}}}
  - {{address: d@example.net}}
aliases: [{{address: postmaster@example.net, to: a@example.net}}]
"""
    users = declared(tmp_path, text).users[1:]
    assert [(user.password.ownership, user.password.generated) for user in users] == [
        ("managed", False),
        ("initial", False),
        ("initial", True),
    ]


def test_a_file_that_the_main_one_marks_as_the_operators_may_hold_hosts_and_sources(tmp_path: Path) -> None:
    text = "hosts: {m2.example.com: {become: true, become_password: {env: SUDO}}}\n"
    spec = declared(tmp_path, text, TRUSTED, {"PW": "x", "SUDO": "y"})
    assert spec.hosts["m2.example.com"].become_password is not None
    unmarked = TRUSTED.replace("true", "false")
    with pytest.raises(SpecError, match="`hosts` may stand in the main file only"):
        declared(tmp_path, text, unmarked)


OWN = "is the hostname of `mail.example.com`, where the machine's own mail goes"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("domains: [Mail.Example.com]", f"1:11 the domain mail.example.com {OWN}"),
        ("domains: [{name: mail.example.com, catch_all: x@evil.org}]", f"1:18 the domain mail.example.com {OWN}"),
        ("domains: [{name: mail.example.com, hosted_by: qq}]", f"1:18 the domain mail.example.com {OWN}"),
        (
            "domains: [mail.example.com]\naliases: [{address: root@mail.example.com, to: x@evil.org}]",
            f"1:11 the domain mail.example.com {OWN}",
        ),
    ],
)
def test_a_part_takes_no_machines_own_mail(part: str, told: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, part) == [told]
    assert declared(tmp_path, part, TRUSTED).domains["mail.example.com"]


@pytest.mark.parametrize(
    "part",
    [
        "aliases: [{address: root@mail.example.com, to: x@evil.org}]",
        "users: [{address: root@mail.example.com}]",
        "users: [{address: x@example.com, aliases: [root@mail.example.com]}]",
        "users: [{address: root@mail.example.com}, {address: cron@mail.example.com}]",
    ],
)
def test_a_part_has_no_address_at_a_machines_own_name(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SMALL", SMALL.replace("domains: [", "domains: [mail.example.com, "))
    (told,) = complaints(tmp_path, part)
    assert f"root@mail.example.com is in a domain that {OWN}" in told
    assert ("(and 1 more address in it" in told) == ("cron" in part)
    assert declared(tmp_path, part, TRUSTED)
    assert declared(tmp_path, part.replace("@mail.", "@"))


@pytest.mark.parametrize("first", [True, False])
def test_no_file_is_both_the_operators_and_peoples(first: bool, tmp_path: Path) -> None:
    patterns = ["{files: parts/*.yaml, trusted: true}", '"**/a.yaml"']
    include = f"include: [{', '.join(patterns if first else patterns[::-1])}]\n"
    with pytest.raises(SpecError, match="included twice: as your own"):
        declared(tmp_path, "users: []\n", include)
    # nor by a link that somebody makes
    (tmp_path / "parts/b.yaml").symlink_to("a.yaml")
    with pytest.raises(SpecError, match="included twice: as your own"):
        declared(tmp_path, "users: []\n", "include: [parts/b.yaml, {files: parts/a.yaml, trusted: true}]\n")


@pytest.mark.parametrize("confined", [False, True], ids=["open", "confined"])
@pytest.mark.parametrize(
    ("name", "include", "named"),
    [
        ("parts/b.yml", "parts/*.yaml", True),
        ("parts/b.YAML", "parts/*.yaml", True),
        ("parts/more/b.yaml", "parts/*.yaml", True),
        ("parts/more/still/b.yml", "parts/**/*.yaml", True),
        ("parts/a-b.yml", "parts/a*.yaml", True),
        ("parts/b.yaml", "parts/a*.yaml", False),
        ("parts/b.yml", "parts/a.yaml", False),
        ("parts/.b.yml", "parts/*.yaml", False),
        ("parts/b.txt", "parts/*.yaml", False),
        ("parts/b.yml", "parts/*.yaml, parts/b.yml", False),
        ("more/b.yml", "parts/*.yaml", False),
    ],
)
def test_what_is_nearly_a_part_is_named(name: str, include: str, named: bool, confined: bool, tmp_path: Path) -> None:
    """Somebody who saves a list of people as `.yml` waits for accounts that nobody makes."""
    (tmp_path / "parts").mkdir()
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("users: []\n", encoding="utf-8")
    (tmp_path / "mail.yaml").write_text(f"{SMALL}include: [{include}]\n", encoding="utf-8")
    (tmp_path / "parts/a.yaml").write_text("users: []\n", encoding="utf-8")
    reading = Reading(confined=True) if confined else Reading()
    spec = load(tmp_path / "mail.yaml", environ={"PW": "x"}, now=NOW, reading=reading)
    told = [each.partition(" (")[0] for each in map(str, spec.warnings) if "included" in each]
    what = f"{tmp_path}/mail.yaml:8:11: {path} is not included: no pattern fits its name"
    assert told == ([what] if named else [])


def test_a_tree_beside_the_parts_is_not_looked_through_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailprov.declaration.source_file.MOST_NEAR", 20)
    (tmp_path / "parts").mkdir()
    for number in range(30):
        (tmp_path / f"parts/{number}.yml").write_text("users: []\n")
    assert not any("included" in str(each) for each in declared(tmp_path, "users: []\n").warnings)


@pytest.mark.parametrize("item", ["{trusted: true}", "{files: 5}", "{files: [a.yaml]}", "{files: a, trust: true}", "5"])
def test_what_is_no_pattern_is_told(item: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        declared(tmp_path, "users: []\n", f"include: [{item}]\n")
    assert caught.value.exit == 3


def test_it_is_decided_of_each_key_of_a_user_whether_a_part_may_say_it() -> None:
    """A new key of users is people's (then it stands in part_user, too), or the operator's (then it is named here)."""
    definitions = schema.document()["$defs"]
    operators: set[str] = set()
    assert definitions["user"]["properties"].keys() - operators == definitions["part_user"]["properties"].keys()


def test_whatever_the_schema_lets_through_a_part_reads_nothing(tmp_path: Path) -> None:
    people = Surroundings(tmp_path, {"PW": "x"}, trusted=False)
    for act in (lambda: people.path("x"), lambda: people.line({"env": "PW"}), lambda: people.text({"file": "x"}, 9)):
        with pytest.raises(InvalidValue, match="no file and no variable"):
            act()
