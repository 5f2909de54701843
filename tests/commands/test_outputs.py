"""One run, several forms: what is on the terminal, what programs read, what is in files; and one exit code for all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import report_schema
import yaml
from lxml import etree
from simulated_host import BASE, HASH, SimulatedHost

from mailprov import commands, local_files
from mailprov.checks import Account, Cause, Check, Endpoint, Trust
from mailprov.checks.all_users import Login
from mailprov.commands import rehearse, verify
from mailprov.commands.root import every
from mailprov.connection.fake import FakeHost
from mailprov.errors import ConnectError, Exit, HostError, MailprovError
from mailprov.model import HostSpec, Spec
from mailprov.report.logins import LoginReport

TESTS = Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "examples"
END = Endpoint("imap", "tls", "192.0.2.1", 993, "mail.example.com")
WELL = Check(END, "tls", True, 0.1, "TLSv1.3")
BAD = Check(END, "login", False, 0.1, "refused", "error", Cause.LOGIN_REFUSED)
Ran = tuple[int, str, str]
Run = Callable[..., Ran]


class Site:
    """A folder with mail.yaml for two hosts, of which `gone` cannot be reached; `opened` are the sessions.

    It has no postmaster, and so a warning.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = SimulatedHost()
        self.gone = {"mail2"}
        self.opened: list[str] = []
        self.document: dict[str, Any] = yaml.safe_load(BASE.replace("$HASH", HASH))
        self.document["hosts"]["mail2"] = {"address": "192.0.2.11", "hostname": "mail2.example.com"}
        del self.document["users"][0]["aliases"]
        self.declare()

    def declare(self, **changes: object) -> None:
        self.document |= changes
        (self.folder / "mail.yaml").write_text(yaml.safe_dump(self.document), encoding="utf-8")

    def open(self, declared: HostSpec, *, ask: object = None) -> FakeHost:
        self.opened.append(declared.name)
        if declared.name in self.gone:
            raise ConnectError("no route", where=declared.name, why="it is off", fix="turn it on")
        return self.host.host()

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOB_INITIAL", "correct horse")
    made = Site(tmp_path)
    monkeypatch.setattr("mailprov.connection.connect.open_host", made.open)
    (tmp_path / "staff.csv").write_text("address,name\na@example.com,A\n")
    return made


@pytest.fixture
def run(site: Site, capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(*words: str) -> Ran:
        site.opened.clear()
        status = commands.run([*words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return ran


def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client sees is simulated, too: mail1 refuses a login, mail2 is not there."""

    def look(_spec: object, declared: HostSpec, _how: object, _terminal: object, begun: Callable[[str], None]) -> Any:
        begun("without a login")
        if declared.name == "mail2":
            raise ConnectError("no route", where="mail2", fix="turn it on")
        return (WELL, BAD)

    def everybody(_spec: object, declared: HostSpec, *_: object) -> LoginReport:
        return LoginReport(declared.name, [Login("bob@example.com", BAD)], {"alice@example.com": "not known here"})

    monkeypatch.setattr(verify, "look_at", look)
    monkeypatch.setattr(verify, "log_in_all", everybody)


# --- every verb that reports

VERBS = [
    pytest.param(("plan",), 7, id="plan"),
    pytest.param(("plan", "--limit", "mail1", "--detailed-exitcode"), 2, id="plan with changes"),
    pytest.param(("apply", "--yes", "--limit", "mail2"), 1, id="apply"),
    pytest.param(("apply", "--yes"), 7, id="apply to several"),
    pytest.param(("rollback", "--yes"), 7, id="rollback"),
    pytest.param(("verify",), 7, id="verify"),
    pytest.param(("verify", "--limit", "mail1"), 9, id="verify what is bad"),
    pytest.param(("verify", "--all-users", "--limit", "mail1"), 9, id="verify all users"),
    pytest.param(("doctor", "--from-client", "--limit", "mail1"), 9, id="doctor"),
    pytest.param(("check-certs", "--limit", "mail2"), 9, id="check-certs"),
    pytest.param(("status",), 7, id="status"),
    pytest.param(("history",), 7, id="history"),
    pytest.param(("purge",), 7, id="purge"),
    pytest.param(("validate",), 0, id="validate"),
    pytest.param(("validate", "--strict"), 3, id="validate strictly"),
    pytest.param(("explain", "mail1"), 0, id="explain"),
    pytest.param(("dns",), 0, id="dns"),
    pytest.param(("providers", "qq"), 0, id="providers"),
    pytest.param(("users", "import", "staff.csv"), 0, id="users import"),
    pytest.param(("handout", "list"), 0, id="handout list"),
    pytest.param(("handout", "purge", "--yes"), 0, id="handout purge"),
    pytest.param(("trust", "mail1"), 1, id="trust"),
    pytest.param(("password", "reset", "--yes", "nobody@example.com"), 1, id="password reset"),
]
MARKDOWN = ("plan", "apply", "rollback", "verify", "doctor", "password")


@pytest.mark.parametrize(("words", "status"), VERBS)
def test_the_exit_code_is_that_of_the_text_in_every_form(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int
) -> None:
    seen(monkeypatch)
    site.host.said |= {"leftovers": "4096 2 gone@example.com\n"}
    monkeypatch.setattr("mailprov.connection.ssh.scan", no_ssh)
    assert run(*words)[0] == status
    plain = run(*words)
    assert plain[0] == status
    forms = ["json", *(["markdown"] if words[0] in MARKDOWN else [])]
    for form in forms:
        code, out, _ = run(*words, "--format", form)
        assert code == status, form
        assert json.loads(out)["report"] if form == "json" else out.startswith("### mailprov")
    files = [word for form in forms for word in (f"--{form}", f"r.{form}")]
    code, out, err = run(*words, *files)
    assert code == status
    assert same(out) == same(plain[1]), "what the terminal is told does not depend on files"
    assert same(err) == same(plain[2])
    document = json.loads(site.text("r.json"))
    assert (document["report"] == "error") == (words[0] in ("trust", "password"))
    assert site.text("r.json").endswith("}\n")
    assert "markdown" not in forms or site.text("r.markdown").startswith("### mailprov")


def no_ssh(*_: object, **__: object) -> None:
    raise ConnectError("no route")


def same(text: str) -> str:
    """`text` without times that differ from run to run."""
    return re.sub(r"\s*[0-9.,]+ m?s\b|20[0-9]{2}-[0-9-]+|pid [0-9]+", "…", text)


SILENT = {
    *("completion", "init", "password", "schema"),
    *("secret init", "secret encrypt", "secret edit", "secret rekey"),
}
"""verbs that report nothing: what they print or write is a script, a file, a hash, a secret's text"""


def test_every_verb_that_reports_has_json() -> None:
    for name, command in every().items():
        below = command.commands if isinstance(command, click.Group) else {}
        for verb, each in {name: command, **{f"{name} {inner}": it for inner, it in below.items()}}.items():
            options = {option for parameter in each.params for option in parameter.opts}
            silent = verb in SILENT or isinstance(each, click.Group)
            assert ({"--format", "--json"} <= options) != silent, verb


def test_each_report_has_a_verb_that_was_tried_here_or_is_told_where() -> None:
    elsewhere = {
        "dns-check": "tests/dns/test_dns_real.py",
        "drift": "tests/fleet/test_fleet_drift.py",
        "handout-send": "tests/credentials/test_handout_send.py",
        "password-reset": "tests/engine/test_password_reset.py",
        "profiles": "tests/commands/test_cli_process.py",
        "rehearse": "tests/lab/test_rehearse.py",
        "render": "tests/commands/test_cli_process.py",
        "show": "tests/fleet/test_show.py",
        "test": "tests/commands/test_expectations_verb.py",
        "trust": "tests/commands/test_cli.py",
    }
    tried = {"-".join(word for word in case.values[0][:2] if word.isalpha() or "-" in word[1:]) for case in VERBS}
    for name in (each["$ref"].removeprefix("#/$defs/") for each in report_schema.published()["oneOf"]):
        if place := elsewhere.get(name):
            verb = name.removesuffix("-check").split("-")[-1]
            text = (TESTS.parent / place).read_text(encoding="utf-8")
            assert f'"{verb}"' in text and '"--format", "json"' in text, place
        else:
            assert name == "error" or any(name.startswith(verb) or verb.startswith(name) for verb in tried), name


# --- what failed is said in every form


def test_hosts_without_an_answer_are_in_no_report_well(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("look_at", "log_in_all"):
        monkeypatch.setattr(verify, name, no_ssh)
    for words, key in ((("verify",), "verified"), (("verify", "--all-users"), "verified"), (("doctor",), "healthy")):
        code, out, _ = run(*words, "--format", "json", "--limit", "mail2")
        document = json.loads(out)
        assert (code != 0, document[key]) == (True, False), words
        assert [each["host"] for each in document["failed"]] == ["mail2"], words


def test_a_rollback_says_what_became_of_each_host(run: Run) -> None:
    document = json.loads(run("rollback", "--yes", "--format", "json")[1])
    assert (document["report"], document["failed"]) == ("rollback", True)
    first, second = document["hosts"]
    assert (first["host"], first["verdict"], first["plan"]) == ("mail1", "failed", None)
    assert (second["error"]["what"], second["error"]["host"]) == ("no route", "mail2")


def test_a_rollback_that_is_interrupted_begins_no_other_host(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    site.declare(hosts={f"h{n}": {"address": f"192.0.2.{n}", "hostname": f"h{n}.example.com"} for n in (1, 2, 3)})
    monkeypatch.setattr("mailprov.workflows.rollback.look_back", interrupted)
    code, out, err = run("rollback", "--yes", "--format", "json")
    assert (code, site.opened, "interrupted: nothing was changed" in err) == (7, ["h1"], True)
    hosts = json.loads(out)["hosts"]
    assert [(host["host"], host["verdict"]) for host in hosts] == [
        ("h1", "waiting"),
        ("h2", "waiting"),
        ("h3", "waiting"),
    ]
    assert hosts[2]["error"]["what"] == "not begun: interrupted"


def test_a_plan_that_is_refused_is_in_the_report(run: Run, site: Site) -> None:
    code, out, err = run("apply", "--limit", "mail1", "--format", "json")
    document = json.loads(out)
    assert code == Exit.UNSAFE and "there is no terminal to ask at" in err
    (host,) = document["hosts"]
    assert (host["verdict"], host["error"]["exit"]) == ("failed", Exit.UNSAFE)
    assert len(host["plan"]["changes"]) == host["changes"] > 10
    written = run("apply", "--limit", "mail1", "--format", "markdown")[1]
    assert written.startswith("### mailprov apply: 1 failed\n\n| host | verdict |")
    assert "<code>mail1</code>" in written


def test_an_invalid_declaration_is_a_report_with_places(run: Run, site: Site) -> None:
    site.declare(users=[{"address": "alice"}, {"address": "bob@example.com", "quota": "2"}])
    for words in (("plan",), ("explain", "mail1"), ("dns",), ("handout", "send", "--welcome"), ("trust", "mail1")):
        code, out, err = run(*words, "--format", "json")
        document = json.loads(out)
        assert (code, document["report"], document["exit"]) == (3, "error", 3)
        assert document["command"] == " ".join(word for word in words[:2] if word not in ("mail1",))
        told = [f"{each['file']}:{each['line']}:{each['column']}: {each['what']}" for each in document["errors"]]
        assert len(told) == 2 and all(line in err for line in told), err
        assert site.opened == []
    document = json.loads(run("validate", "--format", "json")[1])
    assert (document["report"], document["valid"], len(document["errors"])) == ("validate", False, 2)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("plan", "--limit", "nobody"), 1),
        (("plan", "-f", "absent.yaml"), 3),
        (("explain", "mail1.nothing"), 1),
        (("apply", "absent.plan"), 3),
        (("dns", "--check", "--resolver", "nonsense"), 1),
        (("providers", "nobody-knows-this"), 1),
        (("handout", "purge", "nobody@example.com"), 1),
        (("plan", "--shard", "x"), 1),
        (("apply", "--canary", "x"), 1),
        (("plan", "--confined"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_whatever_goes_wrong_stdout_is_json_or_nothing(run: Run, words: tuple[str, ...], status: int) -> None:
    code, out, err = run(*words, "--format", "json")
    assert (code, bool(err)) == (status, True)
    document = json.loads(out)
    assert (document["report"], document["exit"]) == ("error", status)
    assert document["errors"][0]["what"].split("\n")[0] in err
    code, out, _ = run(*words, "--format", "json", "--no-such-option")
    assert (code, out) == (1, "")


def test_a_mistake_of_ours_is_a_report_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("mailprov.commands.explain.explained", broken)
    code, out, err = run("explain", "mail1", "--format", "json")
    (error,) = json.loads(out)["errors"]
    assert (code, "has a mistake: RuntimeError" in error["what"], "broken" in error["why"]) == (1, True, True)
    assert "secret" not in out + err


def test_a_question_that_is_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mailprov.commands.explain.explained", interrupted)
    code, out, err = run("explain", "mail1", "--format", "json")
    assert (code, err.strip(), json.loads(out)["errors"][0]["what"]) == (1, "Error: interrupted", "interrupted")


# --- files


def test_files_say_so_when_there_is_nothing_to_report(run: Run, site: Site) -> None:
    run("plan", "--limit", "mail1", "--json", "r.json", "--markdown", "r.md")
    assert json.loads(site.text("r.json"))["changed"] is True
    site.declare(users=[{"address": "alice"}])
    code, out, err = run("plan", "--json", "r.json", "--markdown", "r.md")
    assert (code, out, "alice" in err) == (3, "", True)
    assert json.loads(site.text("r.json"))["report"] == "error", "the report of another run would be believed"
    assert site.text("r.md").startswith("### mailprov plan: failed\n\n- ❌ `mail.yaml:")
    code, _, _ = run("verify", "--junit", "r.xml")
    (suite,) = etree.fromstring(site.text("r.xml").encode())
    assert (code, suite.get("name"), suite.get("errors")) == (3, "mailprov", "1")
    site.declare(users=[])
    run("verify", "--limit", "nobody", "--junit", "r.xml")
    assert "nobody" in site.text("r.xml")


@pytest.mark.parametrize("option", ["--json", "--markdown"])
@pytest.mark.parametrize("place", ["absent/r", ".", "folder", "link", "/proc/self/r", "/dev/null"])
def test_a_file_that_cannot_be_written_ends_it_before_any_host_is_touched(
    run: Run, site: Site, option: str, place: str
) -> None:
    (site.folder / "folder").mkdir()
    (site.folder / "link").symlink_to("mail.yaml")
    for verb in (("plan",), ("apply", "--yes"), ("rollback", "--yes"), ("verify",)):
        code, out, err = run(*verb, option, place)
        assert (code, out, site.opened) == (1, "", []), verb
        assert "Error: " in err and ("name another file" in err or "check the path" in err)
    assert (site.folder / "link").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="drops root's rights")
def test_a_folder_that_may_not_be_written_ends_it_too(site: Site) -> None:
    closed = site.folder / "closed"
    closed.mkdir(0o555)
    child = os.fork()
    if child == 0:
        site.folder.chmod(0o755)
        os.setuid(65534)
        try:
            local_files.require_replaceable(Path("closed/r.json"))
        except MailprovError as error:
            os._exit(7 if "Permission denied" in error.what else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_report_replaces_a_report_and_nothing_else(run: Run, site: Site) -> None:
    before = site.text("mail.yaml")
    for option in ("--json", "--markdown"):
        code, _, err = run("plan", option, "mail.yaml")
        assert (code, f"this file is no {option[2:]} report" in err, site.opened) == (1, True, [])
    assert site.text("mail.yaml") == before
    assert run("validate", "--sarif", "r.json", "--json", "other.json")[0] == 0
    code, _, err = run("validate", "--json", "r.json")
    assert (code, "this file is no json report" in err) == (1, True)
    for form, text in (
        ("junit", "<?xml version='1.0'?>\n<project/>\n"),
        ("sarif", '{\n  "$schema": "https://json-schema.org/draft/2020-12/schema"\n}\n'),
        ("markdown", "### mailprov notes of mine\n"),
        ("json", '{\n  "format": "mailprov-plan 4"\n}\n'),
    ):
        (site.folder / "mine").write_text(text)
        verb = "verify" if form == "junit" else "plan" if form == "markdown" else "validate"
        code, _, err = run(verb, f"--{form}", "mine")
        assert (code, f"this file is no {form} report" in err) == (1, True)
        assert site.text("mine") == text
    (site.folder / "empty").touch()
    assert run("validate", "--json", "empty")[0] == run("validate", "--json", "empty")[0] == 0


def test_two_reports_are_not_in_one_file(run: Run, site: Site) -> None:
    (site.folder / "sub").mkdir()
    code, _, err = run("plan", "--json", "r", "--markdown", "sub/../r")
    assert (code, "two reports cannot be in one file" in err, site.opened) == (1, True, [])


def test_a_disk_that_is_full_in_the_end_is_told_and_hides_nothing(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise MailprovError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(local_files, "replace", full)
    for words, status in ((("--limit", "mail1"), 1), (("--limit", "mail1", "--detailed-exitcode"), 1), ((), 7)):
        code, out, err = run("plan", *words, "--json", "r.json", "--markdown", "r.md")
        assert (code, "Plan: " in out) == (status, True)
        assert "r.json cannot be written" in err and "r.md cannot be written" in err


def test_a_file_is_there_at_once_or_not_at_all(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run("validate", "--json", "r.json")
    before = site.text("r.json")

    def cut(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", cut)
    site.declare(aliases=[{"address": "sales@example.com", "to": ["alice@example.com"]}])
    assert run("validate", "--json", "r.json")[0] == 1
    assert site.text("r.json") == before
    assert [path.name for path in site.folder.iterdir() if path.name.startswith(".new")] == []


# --- SARIF: the lines of a merge request


def located(site: Site, name: str = "r.sarif") -> list[tuple[str, str, int, int]]:
    (log,) = json.loads(site.text(name))["runs"]
    places = [result["locations"][0]["physicalLocation"] for result in log["results"]]
    levels = [result["level"] for result in log["results"]]
    return [
        (level, at["artifactLocation"]["uri"], at["region"]["startLine"], at["region"]["startColumn"])
        for level, at in zip(levels, places, strict=True)
    ]


def test_every_diagnostic_is_at_its_line_in_the_repository(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository, below = tmp_path / "repository", tmp_path / "repository/mail platform"
    (below / "teams").mkdir(parents=True)
    (repository / ".git").touch()  # as in a work tree
    main = BASE.replace("$HASH", HASH) + 'include: ["teams/*.yaml"]\n'
    (below / "mail.yaml").write_text(main.replace("mail.example.com", "mail_example"), encoding="utf-8")
    part = "users:\n  - {address: ü, password: {hash: x}}\n"
    (below / "teams/a b.yaml").write_text(part, encoding="utf-8")
    for folder, file in ((repository, "mail platform/mail.yaml"), (tmp_path, str(below / "mail.yaml"))):
        monkeypatch.chdir(folder)
        code, _, err = run("validate", "-f", file, "--sarif", str(tmp_path / "r.sarif"))
        assert code == 3
        found = located(site)
        text = [line for line in err.splitlines() if re.match(r"(Error: |! )?\S.*:[0-9]+:[0-9]+: ", line)]
        assert len(found) == len(text)
        assert {uri for _, uri, _, _ in found} == {"mail%20platform/mail.yaml", "mail%20platform/teams/a%20b.yaml"}
        assert ("error", "mail%20platform/mail.yaml", 3, 48) in found
        assert any(f"a b.yaml:{line}:{column}: " in err for _, uri, line, column in found if "a%20b" in uri)


def test_warnings_are_warnings(run: Run, site: Site) -> None:
    code, _, err = run("validate", "--sarif", "r.sarif")
    assert code == 0 and err.startswith("! mail.yaml:")
    found = located(site)
    assert {level for level, *_ in found} == {"warning"}
    assert [f"! {uri}:{line}:{column}" in err for _, uri, line, column in found] == [True] * len(found)
    assert len(found) == err.count("! mail.yaml:")
    # an error beside them takes none of them away
    site.declare(aliases=[{"address": "sales@example.com", "to": ["nobody@example.com"]}])
    assert run("validate", "--sarif", "r.sarif")[0] == 3
    assert sorted(level for level, *_ in located(site)) == ["error", *["warning"] * len(found)]


def test_what_is_outside_the_repository_has_a_whole_address(
    run: Run, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "mail.yaml", tmp_path / "elsewhere/mail.yaml")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run("validate", "-f", "../elsewhere/mail.yaml", "--sarif", str(tmp_path / "r.sarif"))
    assert {uri for _, uri, _, _ in located(site)} == {f"file://{tmp_path}/elsewhere/mail.yaml"}


def test_a_validation_that_could_not_be_made_is_no_clean_one(run: Run, site: Site) -> None:
    assert run("validate", "--limit", "nobody", "--sarif", "r.sarif")[0] == 1
    (log,) = json.loads(site.text("r.sarif"))["runs"]
    (invocation,) = log["invocations"]
    assert (log["results"], invocation["executionSuccessful"]) == ([], False)
    assert "nobody" in invocation["toolExecutionNotifications"][0]["message"]["text"]


# --- JUnit


def test_a_verification_as_junit(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch)
    assert run("verify", "--junit", "r.xml")[0] == 7
    first, second = etree.fromstring(site.text("r.xml").encode())
    assert [(suite.get("name"), suite.get("failures"), suite.get("errors")) for suite in (first, second)] == [
        ("mail1", "1", "0"),
        ("mail2", "0", "1"),
    ]
    assert [case.get("name") for case in first] == ["imap 993 tls", "imap 993 login"]


class NoLab:
    """A lab that boots nothing."""

    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> NoLab:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def boot(self, *_: object) -> None:
        pass


def test_a_rehearsal_as_json_and_junit(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(
        _spec: object, declared: HostSpec, _machine: object, _terminal: object, begun: Any, look: Any, _: Any
    ) -> None:
        begun("as somebody")
        look([WELL])
        if declared.name == "mail2":
            raise HostError("the plan after the apply is not empty", where="mail2", why="file /x")

    monkeypatch.setattr(rehearse, "Lab", NoLab)
    monkeypatch.setattr(rehearse, "rehearse_one", one)
    code, out, err = run("rehearse", "--format", "json", "--junit", "r.xml")
    document = json.loads(out)
    assert (code, document["rehearsed"]) == (7, False)
    assert [(host["host"], host["rehearsed"], len(host["checks"])) for host in document["hosts"]] == [
        ("mail1", True, 1),
        ("mail2", False, 1),
    ]
    assert document["failed"][0]["why"] == "file /x" and "mail1  rehearsed" in err
    first, second = etree.fromstring(site.text("r.xml").encode())
    assert [case.get("name") for case in first] == ["imap 993 tls", "rehearsal"]
    assert (first.get("errors"), second.get("errors")) == ("0", "1")


def test_a_rehearsal_judges_expectations(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ports of the disposable host are asked, and who is known to it is logged in."""
    lately: list[str] = []

    def one(
        spec: Spec, declared: HostSpec, _machine: object, _terminal: object, _begun: Any, _look: Any, judge: Any
    ) -> None:
        if judge:
            judge(spec, declared)

    def look(end: Endpoint, *_: object, **__: object) -> tuple[Check, ...]:
        lately.append(f"{end.address}:{end.port}")
        return (Check(end, "connect", True, 0.1, "TCP"), Check(end, "tls", True, 0.1, "TLSv1.3"))

    def log_in(ends: Sequence[Endpoint], _: object, accounts: Sequence[Account], **__: object) -> tuple[Login, ...]:
        cause = Cause.LOGIN_REFUSED
        return tuple(
            Login(
                it.address,
                Check(end, "login", end.port == 993, 0.1, "", cause=Cause.NONE if end.port == 993 else cause),
            )
            for it in accounts
            for end in ends
            if end.protocol in it.protocols
        )

    monkeypatch.setattr(rehearse, "Lab", NoLab)
    monkeypatch.setattr(rehearse, "rehearse_one", one)
    monkeypatch.setattr("mailprov.workflows.expectations.check_listener", look)
    monkeypatch.setattr("mailprov.workflows.expectations.everybody", log_in)
    monkeypatch.setattr("mailprov.workflows.client_view.asked_trust", lambda *_: Trust())
    (site.folder / "tests").mkdir()
    expected = "expectations: 1\nports: [{port: 993, answers: tls}]\nlogins:\n"
    expected += "  - {user: bob@example.com, by: imap}\n  - {user: bob@example.com, by: submission}\n"
    expected += "  - {user: alice@example.com, by: imap, host: mail1}\n"
    (site.folder / "tests/first.yaml").write_text(expected)
    code, out, err = run("rehearse", "--test", "--format", "json", "--junit", "r.xml")
    document = json.loads(out)
    assert (code, document["rehearsed"]) == (9, True)
    assert sorted(lately) == sorted(f"192.0.2.{host}:{port}" for host in (10, 11) for port in (993, 587, 25))
    told = {it["what"]: it for it in document["expectations"]}
    bob = told["bob@example.com can log in by imap from anywhere"]
    assert [(it["by"], it["holds"]) for it in bob["findings"]].count(("rehearsal", True)) == 2
    refused = told["bob@example.com can log in by submission from anywhere"]
    assert refused["outcome"] == "fails" and "refused: bob@example.com by submission" in err
    alice = told["alice@example.com can log in by imap from anywhere on mail1"]
    assert [it["by"] for it in alice["findings"]] == ["declaration"], "her password is a hash: nobody knows it here"
    assert "3 hold, 1 does not hold" in err
    *_, suite = etree.fromstring(site.text("r.xml").encode())
    assert (suite.get("name"), suite.get("failures")) == ("tests/first.yaml", "1")
    assert json.loads(run("rehearse", "--format", "json")[1])["expectations"] is None
