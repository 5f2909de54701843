"""docs/secrets.md, typed: what the page shows is what is run here, in its order, in processes of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from age_tools import person
from secret_repository import Repository

from mailprov.encrypted import age, armour, identities, sops
from mailprov.model import Secret

PAGE = (Path(__file__).parents[2] / "docs/secrets.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(kind: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(PAGE) if found == kind]


def commands() -> list[str]:
    return [line.removeprefix("$ ") for body in blocks("console") for line in body.splitlines()]


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """The page's own words as a declaration: the value that it fills in stands where it says."""
    made = Repository(tmp_path)
    people, tls, _ = blocks("yaml")
    head = "mailprov: 1\nhosts: {mail1: {address: 192.0.2.10, hostname: mail.example.com}}\nservices: {imap: true}\n"
    (place,) = set(re.findall(r"mail\.yaml:(\d+)", "\n".join(commands())))
    lines = [*head.splitlines(), "domains: [{name: example.com, catch_all: alice@example.com}]"]
    wanted = int(place) - people.splitlines().index("        age: TODO") - 1
    lines += ["# a comment"] * (wanted - len(lines))
    made.mail.write_text("\n".join([*lines, people, tls]))
    assert made.mail.read_text().splitlines()[int(place) - 1] == "        age: TODO"
    request = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=mail.example.com", "-addext", "subjectAltName=DNS:mail.example.com", "-days", "90")
    out = ("-keyout", "mail.key", "-out", "mail.pem")
    subprocess.run((*request, *names, *out), cwd=made.folder, check=True, capture_output=True)
    return made


def test_the_page_is_typed(repo: Repository) -> None:
    install, *rest = commands()
    assert install == "pip install '.[age]'"
    key = (repo.folder / "mail.key").read_bytes()
    editor = repo.home / "editor"
    editor.write_text(f'#!/bin/sh\ncat "$1" >>{repo.home}/seen\n')
    editor.chmod(0o755)
    typed = []
    for command in rest:
        words = shlex.split(command)
        given = [word for word in words if word.startswith("<")]
        stdin = (repo.folder / given[0][1:]).read_bytes() if given else b"alices first battery\n"
        done = repo.typed(*[word for word in words[1:] if word not in given], stdin=stdin, EDITOR=str(editor))
        assert done.returncode == 0, f"{command}: {done.stderr}"
        typed.append(words[2] if words[1] == "secret" else words[1])
        if given:
            (repo.folder / given[0][1:]).unlink()
    assert typed == ["init", "encrypt", "encrypt", "edit", "edit", "rekey", "validate"]
    # "Look at one": that is what the editor was given
    assert (repo.home / "seen").read_bytes() == b"alices first battery\n" + key
    assert repo("validate", "--strict").returncode == 0
    # "Files that `age -R .age-recipients` makes are as good, and `age -d` opens what is made here"
    file = repo.folder / "secrets/mail.key.age"
    opened = subprocess.run(("age", "-d", "-i", repo.identity, file), check=True, capture_output=True)
    assert opened.stdout == key
    made = subprocess.run(("age", "-R", repo.recipients), input=key, check=True, capture_output=True)
    file.write_bytes(made.stdout)
    assert repo("validate", "--strict").returncode == 0


def test_the_places_of_an_identity_are_those_of_the_page(tmp_path: Path) -> None:
    """In its order: what is named first is taken before what is named below."""
    rows = re.findall(r"^\| `([^`]+)` \| ", PAGE.partition("## Where the identity")[2].partition("## Files")[0], re.M)
    assert rows == ["--identity FILE", identities.TEXT, identities.FILE, identities.USUAL]
    people = [person() for _ in rows]
    people[3].write(tmp_path / ".config/mailprov/age.txt")
    named = people[0].write(tmp_path / "named")
    environ = {
        "HOME": str(tmp_path),
        identities.TEXT: people[1].identity,
        identities.FILE: str(people[2].write(tmp_path / "file")),
    }
    found = [identities.text(environ, named)[0]]
    for name in (identities.TEXT, identities.FILE, ""):
        found.append(identities.text(environ)[0])
        environ.pop(name, None)
    assert [each.reveal().strip() for each in found] == [who.identity for who in people]


def test_what_sops_gets_is_what_the_page_says() -> None:
    told = PAGE.partition("of the environment it")[2].partition("nothing else")[0]
    assert set(re.findall(r"`([A-Z]+_)`", told)) == set(sops._OF_KEYS)


@pytest.mark.parametrize(
    "said", re.findall(r"^\| `([^`|]+)`[^|]* \| ", PAGE.partition("## What can go wrong")[2], re.M)
)
def test_what_can_go_wrong_is_said_so(said: str) -> None:
    """The words of the table are words of the program."""
    package = Path(age.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    assert said.strip(" …").replace("this ", "", 1) in re.sub(r"\{[^}]*\}", "", source)


def test_a_passphrase_and_another_key_are_not_taken_for_damage() -> None:
    """The reasons are told apart by words of pyrage's: these are pinned here."""
    import pyrage

    data = age.encrypted(b"x", [age.recipient(person().recipient)])
    with pytest.raises(pyrage.DecryptError, match="matching keys"):
        pyrage.decrypt(data, list(age.identity(Secret(person().identity), "x").keys))
    assert data.startswith(armour.MAGIC)
    assert os.environ.get("MAILPROV_AGE_IDENTITY") is None, "tests are for nobody's identity"
