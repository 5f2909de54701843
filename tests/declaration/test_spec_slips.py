"""One slip that makes a file no YAML is one complaint, wherever it is, and hides nothing that stands before it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from spec_tools import FUZZ, HASH, NOW

from mailprov.declaration import load
from mailprov.errors import SpecError

BLOCKS = (
    "mailprov: 1\n",
    "include:\n  - parts/*.yaml\n",
    """\
hosts:
  mail1:
    address: 192.0.2.10
    hostname: mail.example.com
    ssh:
      user: root
  mail2:
    address: 192.0.2.11
    hostname: mx.example.net
groups:
  both:
    hosts: [mail1, mail2]
    firewall:
      manage: true
""",
    """\
domains:
  - name: example.com
    hosts: [mail1]
    catch_all: a@example.com
  - {name: example.net, hosts: [mail2]}
""",
    f"""\
users:
  - address: a@example.com
    name: "Nora Vale"
    protocols:
      - imap
    password:
      hash: "{HASH}"
    aliases: [b@example.com]
  - {{address: postmaster@example.net, password: {{hash: "{HASH}"}}, allow_from: [10.0.0.0/8]}}
  - from_csv: {{file: staff.csv, defaults: {{quota: 1GiB}}}}
aliases:
  - address: info@example.com
    to: [a@example.com, x@example.org]
""",
    """\
services:
  imap: {tls: 993}
  pop3:
    tls: 995
""",
    "tls:\n  self_signed: {}\n",
    """\
firewall:
  allow:
    - port: 8080
      from: [10.0.0.0/8]
handout:
  company: ACME
""",
)


def errors(folder: Path, text: str) -> list[str]:
    (folder / "mail.yaml").write_text(text)
    try:
        load(folder / "mail.yaml", environ={}, now=NOW)
    except SpecError as caught:
        return [f"{Path(each.origin.file).name}:{each.origin.line} {each.what}" for each in caught.errors]
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what those blocks refer to."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/p.yaml").write_text("users: [{address: d@example.com}]\n")
    (tmp_path / "staff.csv").write_text("address\nc@example.com\n")
    return tmp_path


def slips(line: str) -> Iterator[str]:
    """What somebody writes by mistake in place of a line."""
    indent = line[: len(line) - len(line.lstrip())]
    yield from (f'{line} "x', f"{line} [", f"{line} }}", f"{line} : : x", f"\t{line}", f" {line}", f"   {line}")
    yield from (f"{indent}{wrong}\n{line}" for wrong in ("@x: y", "- - x: [", "*", "%x", "just words", '"open'))
    yield from (line.replace(sign, "", 1) for sign in ('"', "[", "{", ":", " ") if sign in line)
    yield from (line.replace(": ", ":", 1), line[::-1].replace('"', "", 1)[::-1], re.sub(r"[\]}]$", "", line))


def alone(folder: Path, text: str) -> bool:
    """Whether a text that is no YAML has that one fault; True for one that is."""
    found = errors(folder, text)
    return not any("not valid YAML" in each for each in found) or len(found) == 1


@pytest.mark.parametrize("seed", range(3 * FUZZ))
def test_one_slip_is_one_complaint(folder: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    blocks = chance.sample(BLOCKS, len(BLOCKS)) if seed else BLOCKS
    lines = "".join(blocks).splitlines()
    assert errors(folder, "\n".join(lines)) == []
    tried = 0
    for number, line in enumerate(lines):
        for slip in chance.sample([*slips(line)], 6):
            text = "\n".join([*lines[:number], slip, *lines[number + 1 :]])
            assert alone(folder, text), (text, errors(folder, text))
            tried += 1
    assert tried > 250


@pytest.mark.parametrize("indent", [None, 1])
def test_in_json_too(folder: Path, indent: int | None) -> None:
    chance = random.Random(indent)  # noqa: S311
    text = json.dumps(yaml.safe_load("".join(BLOCKS)), indent=indent)
    assert errors(folder, text) == []
    for at in chance.sample(range(len(text)), 150 * FUZZ):
        wrong = chance.choice(["", text[at + 1 :], *(sign + text[at:] for sign in '"},:')])
        assert alone(folder, text[:at] + wrong), (text[:at] + wrong, errors(folder, text[:at] + wrong))


def test_what_stands_before_it_or_elsewhere_is_told(folder: Path) -> None:
    (folder / "parts/p.yaml").write_text("users: [{address: d@example.com, quota: 5G}]\n")
    (folder / "parts/q.yaml").write_text("users:\n  - {address: e@example.com, expire: 5}\n  - {address: f@: [\n")
    (folder / "staff.csv").write_text("address,quota\nc@example.com,7\n")
    text = "".join(BLOCKS).replace("192.0.2.11", "192.0.2.310").replace("address: a@", "quota: 6G\n    address: a@")
    text = text.replace("pop3:\n    tls: 995", "pop3:\n    tls: 995\n   starttls: 110\n  smpt: {port: 25}")
    found = errors(folder, text)
    assert [each.partition(" ")[0] for each in found] == [
        "mail.yaml:11",
        "mail.yaml:24",
        "mail.yaml:41",
        "p.yaml:1",
        "q.yaml:2",
        "q.yaml:3",
        "staff.csv:2",
    ], found
    assert "not valid YAML" in found[2]
