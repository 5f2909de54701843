"""The documentation is true: what it quotes is what the program says, what it shows works, what it links to exists."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from mailprov import __version__, declaration
from mailprov.commands.root import COMMANDS, cli, every
from mailprov.declaration import schema
from mailprov.errors import Exit
from mailprov.expectations.reading import read as read_expectations
from mailprov.lab import Lab, LabHost

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = ROOT / "README.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(kind: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        yield from ((page, body) for found, body in _BLOCK.findall(text(page)) if found == kind)


def commands() -> list[str]:
    """Every command that a page shows."""
    return [line[2:] for _, body in blocks("console") for line in body.splitlines() if line.startswith("$ ")]


def options_of(verb: str) -> set[str]:
    command = every()[verb]
    found = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    return {option for each in found for parameter in each.params for option in parameter.opts}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.M))


def generator() -> ModuleType:
    found = importlib.util.spec_from_file_location("docs_generator", ROOT / "script/docs.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


# --- what is generated


def test_generated_pages_are_what_make_docs_writes() -> None:
    """Help pages, keys of mail.yaml, errors of a connection, a line for each file: run `make docs` when this fails."""
    pages = generator().pages()
    assert {name(path) for path in pages} >= {
        "ARCHITECTURE.md",
        "docs/commands.md",
        "docs/connection.md",
        "docs/doctor.md",
        "docs/providers.md",
        "docs/yaml.md",
    }
    for path, new in pages.items():
        assert text(path).split() == new.split(), f"run `make docs`: {name(path)}"


def test_every_file_of_the_package_is_in_the_architecture() -> None:
    listed = set(re.findall(r"^- `(mailprov/[^`]+)`: \S", text(ROOT / "ARCHITECTURE.md"), re.M))
    assert listed == {name(path) for kind in ("py", "sh") for path in (ROOT / "mailprov").rglob(f"*.{kind}")}


# --- exit codes and verbs


def test_readme_exit_codes_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| (\d) \| `([A-Z]+)` \| (.+) \|$", text(README), re.M)
    assert {int(code): word for code, word, _ in rows} == {code.value: code.name for code in Exit}
    shown = " ".join(CliRunner().invoke(cli, ["--help"], terminal_width=100).output.split())
    for code, _, meaning in rows:
        for part in re.split(r" (?=\()", meaning):
            assert part in shown, part
        assert f"{code} {meaning.partition(' (')[0]}" in shown


def test_readme_has_every_verb() -> None:
    assert set(re.findall(r"^\| `mailprov ([\w-]+)` \|", text(README), re.M)) == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_verbs_and_options_that_are_named_exist(page: Path) -> None:
    every = {option for verb in COMMANDS for option in options_of(verb)} | {"--help", "--version", "--strict"}
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text(page))
    for words in map(str.split, inline):
        if words[0] == "mailprov" and len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
            assert words[1] in COMMANDS, " ".join(words)
            used = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert used <= options_of(words[1]) | {"--help"}, " ".join(words)
        elif words[0].startswith("--"):
            assert words[0] in every, words[0]
        elif words[0] == "make" and len(words) > 1:
            assert words[1] in targets(), " ".join(words)


def test_every_command_shown_can_be_run() -> None:
    shown, tutorial = commands(), text(ROOT / "docs/tutorial.md")  # typed by tests/mail/test_mail_tutorial.py
    assert {"make demo", "make test"} <= set(shown)
    for command in shown:
        words = shlex.split(command)
        program = words[0].removeprefix(".venv/bin/")
        if program == "make":
            assert set(words[1:]) <= targets(), command
        elif program == "mailprov":
            done = CliRunner().invoke(cli, words[1:] if words[1:] == ["--version"] else [*words[1:], "--help"])
            assert done.exit_code == 0, command
        elif program == "pip":
            extras = set(re.findall(r"\[(\w+)\]", command))
            assert words[1] == "install", command
            assert extras <= set(PROJECT["optional-dependencies"]), command
        elif program in ("cd", "cp", "export", "mkdir", "read", "."):
            assert command in tutorial
        elif program == "pytest":
            assert "-n 2 -m 'not host'" in command
        else:
            assert command == "python3 -m venv .venv"


def test_targets_are_documented_and_named_in_contributing() -> None:
    documented = set(re.findall(r"^([a-z-]+):.*## ", text(ROOT / "Makefile"), re.M))
    assert documented == targets()
    assert set(re.findall(r"^\| `make ([\w-]+)(?: N=\d+)?` \|", text(ROOT / "CONTRIBUTING.md"), re.M)) == documented - {
        "help"
    }


def test_ci_runs_the_command_of_the_readme() -> None:
    assert text(ROOT / ".ci/run").splitlines()[-1] == "make test </dev/null"
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.mark.parametrize("script", ["script/setup", "script/lint", ".ci/run"])
def test_scripts_are_well_formed(script: str) -> None:
    shell = "bash" if script == ".ci/run" else "sh"
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0


# --- YAML


@pytest.mark.parametrize(
    ("page", "body"), list(blocks("yaml")), ids=lambda value: name(value) if isinstance(value, Path) else ""
)
def test_yaml_that_is_shown_is_valid(page: Path, body: str, tmp_path: Path) -> None:
    if "expectations: 1" in body:
        (declared,) = (text for other, text in blocks("yaml") if other == page and "mailprov: 1" in text)
        (tmp_path / "mail.yaml").write_text(declared, encoding="utf-8")
        spec = declaration.load(tmp_path / "mail.yaml", environ={}, now=datetime.now(UTC))
        assert read_expectations(body, "team.yaml", spec)
    elif "mailprov: 1" in body:
        file = tmp_path / "mail.yaml"
        file.write_text(body, encoding="utf-8")
        environ = {"HOME": str(tmp_path), "SUDO_PASSWORD": "example", "ALICE_INITIAL": "an example"}
        found = declaration.load(file, environ=environ, now=datetime.now(UTC))
        assert [warning for warning in found.warnings if "not set" not in warning] == []
    else:
        value: Any = {"mailprov": 1, **yaml.safe_load(body)}
        jsonschema.Draft202012Validator(schema.document()).validate(value)


def test_the_readme_declaration_is_about_twenty_lines() -> None:
    (body,) = (body for page, body in blocks("yaml") if page == README)
    assert 15 <= len(body.splitlines()) <= 25


# --- pages


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text(page)):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_are_plain(page: Path) -> None:
    written = re.sub(r"<!-- generated.*?<!-- end -->|^\|.*?$", "", text(page), flags=re.S | re.M)
    assert max(map(len, written.splitlines())) <= 120
    assert text(page).startswith("# ")


RECORDS = sorted((ROOT / "docs/decisions").glob("0*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=name)
def test_a_decision_has_its_three_parts(record: Path) -> None:
    body = text(record)
    assert re.findall(r"^\*\*(\w+)\.\*\* ", body, re.M) == ["Context", "Decision", "Consequence"]
    assert body.startswith(f"# {int(record.name[:4])}. ")
    assert len(body.splitlines()) <= 14 or record.name.startswith("0001")


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_every_dependency_has_its_reason() -> None:
    wanted = {re.split(r"[<>=~]", line)[0] for line in PROJECT["dependencies"]}
    given = set(re.findall(r"^- (\w+)[ :(]", text(RECORDS[0]), re.M))
    assert given == wanted | {"hatchling"}


def test_the_changelog_has_this_version() -> None:
    heads = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text(ROOT / "CHANGELOG.md"), re.M)
    assert heads[0][0] == "Unreleased"
    assert __version__ in {version for version, date in heads if date}


# --- what a host says


def mailprov(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BOB_INITIAL": "an example", "NO_COLOR": "1", "HOME": str(cwd)}
    program = Path(sys.executable).parent / "mailprov"
    return subprocess.run(
        [program, *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_explanation_in_the_page_about_yaml_is_real(tmp_path: Path) -> None:
    page = text(ROOT / "docs/yaml.md")
    (quoted,) = re.findall(r"<!-- quoted: explain -->\n```text\n(.*?)^```$", page, re.M | re.S)
    (asked,) = re.findall(r"`mailprov explain (\S+)` says:", page)
    (declared,) = (body for body in re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S) if "parent: europe" in body)
    (tmp_path / "mail.yaml").write_text(declared, encoding="utf-8")
    done = mailprov("explain", asked, cwd=tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", quoted)


def test_the_worked_example_of_expectations_is_real(tmp_path: Path) -> None:
    page = text(ROOT / "docs/testing.md")
    (quoted,) = re.findall(r"<!-- quoted: test -->\n```text\n(.*?)^```$", page, re.M | re.S)
    declared, expected = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "tests").mkdir()
    (tmp_path / "mail.yaml").write_text(declared, encoding="utf-8")
    (tmp_path / "tests/team.yaml").write_text(expected, encoding="utf-8")
    done = mailprov("test", cwd=tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (9, "", quoted)
    (tmp_path / "tests/team.yaml").write_text(expected.replace("20GiB", "30GiB"), encoding="utf-8")
    assert mailprov("test", "--confined", cwd=tmp_path).returncode == 0


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabHost, Path]]:
    """A host to which the quickstart was applied, and the folder with its declaration."""
    folder = tmp_path_factory.mktemp("quickstart")
    with Lab() as lab:
        host = lab.boot("mail1", "bookworm")
        ssh = f"{{user: root, identity_file: {host.identity_file}, known_hosts: {host.known_hosts}}}"
        declared = re.sub(
            r"address: 192\.0\.2\.10 .*",
            f"address: {host.address}\n    ssh: {ssh}",
            text(ROOT / "examples/quickstart/mail.yaml"),
        )
        (folder / "mail.yaml").write_text(declared, encoding="utf-8")
        done = mailprov("apply", "--yes", cwd=folder)
        assert done.returncode == 0, done.stderr
        yield host, folder


@pytest.mark.host
def test_the_plan_in_the_readme_is_real(quickstart: tuple[LabHost, Path]) -> None:
    host, folder = quickstart
    (quoted,) = re.findall(r"<!-- quoted: plan -->\n```text\n(.*?)^```$", text(README), re.M | re.S)
    host.run(("sed", "-i", "s/^message_size_limit.*/message_size_limit = 0/", "/etc/postfix/main.cf"))
    declared = text(folder / "mail.yaml")
    bob = "  - address: bob@example.com\n    password: {initial: {env: BOB_INITIAL}}\n    protocols: [pop3]\n"
    (folder / "mail.yaml").write_text(declared.replace("tls:\n", f"{bob}tls:\n"), encoding="utf-8")
    done = mailprov("plan", "--detailed-exitcode", cwd=folder)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == quoted
