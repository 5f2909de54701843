"""`mailprov test` as it is typed: which files it reads, whom it asks, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from command_line import Ran, Run

from mailprov.checks import Cause, Check, Endpoint
from mailprov.commands import run as call
from mailprov.dns import Answer
from mailprov.dns.judge import Query

OFFICE = Path(__file__).parents[1] / "expectations/office.yaml"
HEAD = "expectations: 1\n"
HOLDS = "ports: [{port: 993, answers: tls}]\n"
FAILS = "ports: [{port: 993, answers: closed, host: mail1}]\n"
UNTOLD = "records: [{domain: example.com}]\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`mailprov test` in a folder repo/ with the office's mail.yaml, beside outside/."""
    repo = tmp_path / "repo"
    (repo / "tests").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/policy.yaml").write_text(HEAD + HOLDS)
    (repo / "mail.yaml").write_text(OFFICE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(repo)

    def ran(*words: str) -> Ran:
        status = call(["test", *words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err and "mistake" not in said.err
        return Ran(status, said.out, said.err)

    return ran


def write(**files: str) -> None:
    for name, text in files.items():
        Path(f"tests/{name.replace('_', '.')}").write_text(HEAD + text, encoding="utf-8")


# --- which files


def test_the_files_beside_the_declaration_in_order_or_those_that_are_named(run: Run) -> None:
    write(b_yaml=FAILS, a_yml=HOLDS)
    Path("tests/c.txt").write_text("nothing")
    Path("tests/README.md").write_text("Ours begin so:\n\n    expectations: 1\n")
    found = run("--details")
    assert (found.exit_code, found.stderr) == (9, "")
    heads = [line for line in found.stdout.splitlines() if line.startswith("tests/")]
    assert heads == ["tests/a.yml", "tests/b.yaml"]
    assert found.stdout.endswith("2 expectations: 1 holds, 1 does not hold.\n")
    assert run("tests/a.yml").stdout == "1 expectation: 1 holds.\n"
    assert run("tests/a.yml", "../outside/policy.yaml").stdout == "2 expectations: 2 hold.\n"
    os.chdir("..")
    assert "repo/tests/b.yaml\n" in run("-f", "repo/mail.yaml").stdout


@pytest.mark.parametrize("confined", [(), ("--confined",)], ids=["open", "confined"])
def test_files_in_folders_below_and_in_any_case(run: Run, confined: Sequence[str]) -> None:
    Path("tests/deeper/still").mkdir(parents=True)
    for name in ("b.YAML", "deeper/a.Yml", "deeper/still/a.yaml"):
        Path("tests", name).write_text(HEAD + FAILS)
    found = run(*confined)
    heads = [line for line in found.stdout.splitlines() if line.startswith("tests/")]
    assert (found.exit_code, heads) == (9, ["tests/b.YAML", "tests/deeper/a.Yml", "tests/deeper/still/a.yaml"])
    Path("tests/deeper/still/b.yaml").write_text("expectation: 1\n")
    assert "tests/deeper/still/b.yaml:1:1: this is no file of expectations" in run(*confined).stderr


@pytest.mark.parametrize("confined", [(), ("--confined",)], ids=["open", "confined"])
@pytest.mark.parametrize("name", ["b.yaml.off", "b.json", "b.yam", "b", "deeper/b.txt"])
def test_what_looks_like_expectations_and_is_not_read_is_named(run: Run, name: str, confined: Sequence[str]) -> None:
    write(a_yaml=HOLDS)
    Path("tests/deeper").mkdir()
    text = '{"expectations": 1, "ports": []}' if name.endswith("json") else "# ours\n---\n" + HEAD + FAILS
    Path("tests", name).write_text(text)
    found = run(*confined)
    assert (found.exit_code, found.stdout) == (3, "")
    assert f"tests/{name}:1:1: this looks like expectations, and its name is not that of a YAML file" in found.stderr
    assert "end its name in .yaml, or move it out of tests/" in found.stderr
    Path("tests", name).rename(Path("tests", name + "~"))
    assert run(*confined).exit_code == 0, "an editor's copy is none that is meant"


@pytest.mark.parametrize("confined", [(), ("--confined",)], ids=["open", "confined"])
def test_a_folder_behind_a_link_is_not_passed_over_in_silence(run: Run, confined: Sequence[str]) -> None:
    write(a_yaml=HOLDS)
    Path("policy").mkdir()
    Path("policy/b.yaml").write_text(HEAD + FAILS)
    Path("tests/more").symlink_to("../policy")
    found = run(*confined)
    assert (found.exit_code, "tests/more:1:1: this is a link to a folder, which is not followed" in found.stderr) == (
        3,
        True,
    )


def test_a_folder_of_anything_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailprov.workflows.expectation_files.MOST_SEEN", 5)
    write(a_yaml=HOLDS)
    for name in "bcde":
        Path("tests", name).write_bytes(b"")
    assert run().exit_code == 0
    Path("tests/f").mkdir()
    found = run()
    assert (found.exit_code, "more than 5 files and folders in tests/" in found.stderr) == (3, True)
    monkeypatch.setattr("mailprov.workflows.expectation_files.MOST_SEEN", 500)
    Path("tests", *["f"] * 40).mkdir(parents=True)
    assert "folders lie more than 32 deep in tests/" in run().stderr


def test_the_files_together_are_bounded(run: Run) -> None:
    for name in "abcdef":
        Path(f"tests/{name}.yaml").write_text(HEAD + HOLDS + "#" * 100_000)
    found = run()
    assert (found.exit_code, found.stdout) == (3, "")
    assert "tests/f.yaml:1:1: the files of expectations up to this one have more than 524,288" in found.stderr
    Path("tests/f.yaml").unlink()
    assert run().exit_code == 0


def test_where_nothing_is_expected(run: Run) -> None:
    for words in ((), ("tests/absent.yaml",), ("tests",)):
        found = run(*words)
        assert found.exit_code == 3, words
        assert "1 error in the expectations" in found.stderr
    assert "tests:1:1: there is no file of expectations" in run().stderr and "write some into tests/" in run().stderr
    write(a_yaml="ports: []\n")
    assert "nothing is expected here" in run().stderr


def test_every_error_of_every_file(run: Run) -> None:
    write(a_yaml="port: []\n", b_yaml=HOLDS, c_yaml="logins: [{user: alice@example.com, form: 10.0.0.0/8}]\n")
    found = run()
    assert (found.exit_code, found.stdout) == (3, "")
    assert "tests/a.yaml:2:1: `port` is not known here\n  to do: did you mean `ports`?" in found.stderr
    assert "tests/c.yaml:2:36: `form` is not known here\n  to do: did you mean `from`?" in found.stderr
    assert found.stderr.endswith("2 errors in the expectations\n")


@pytest.mark.parametrize("kind", ["fifo", "device", "large", "binary", "utf16", "link"])
def test_a_file_is_a_plain_text_of_bearable_size(run: Run, kind: str) -> None:
    path = Path("tests/a.yaml")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        path.write_text(HEAD + "#" * (256 * 1024))
    elif kind == "binary":
        path.write_bytes(b"expectations: 1\n\xff\xfe")
    elif kind == "utf16":
        path.write_bytes(HEAD.encode("utf-16"))
    else:
        path.symlink_to("../../outside/policy.yaml")
    found = run()
    assert (found.exit_code, found.stdout) == (3, "")
    assert "tests" in found.stderr


def test_a_declaration_that_is_invalid_is_told_as_such(run: Run) -> None:
    write(a_yaml=HOLDS)
    Path("mail.yaml").write_text("mailprov: 1\nhost: {}\n")
    found = run("--sarif", "r.sarif")
    assert (found.exit_code, "mail.yaml:2:1: `host` is not known here" in found.stderr) == (3, True)
    (result, *_) = json.loads(Path("r.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "invalid-declaration"


# --- what is not told


def test_what_is_not_told_has_not_passed(run: Run) -> None:
    write(a_yaml=HOLDS + UNTOLD)
    found = run()
    assert found.exit_code == 0
    assert "  -    3:11   DNS has what example.com needs: not told here: ask DNS with --live\n" in found.stdout
    assert found.stdout.endswith("2 expectations: 1 holds, 1 is not told here.\n")
    strict = run("--strict")
    assert (strict.exit_code, strict.stdout) == (9, found.stdout)
    assert "--strict takes that for a failure" in strict.stderr
    write(a_yaml=UNTOLD)
    alone = run()
    assert (alone.exit_code, "nothing is told here, so that nothing has passed" in alone.stderr) == (9, True)
    assert json.loads(run("--format", "json").stdout)["holds"] is False
    write(a_yaml=HOLDS)
    assert run("--strict").exit_code == 0


def test_a_part_of_the_hosts(run: Run) -> None:
    write(a_yaml="ports: [{port: 465, answers: tls, protocol: submission}]\n")
    assert run().exit_code == 9
    assert run("--limit", "mail1").exit_code == 0
    assert "none of the hosts that it is about is looked at" not in run("--limit", "branches").stdout
    write(a_yaml="ports: [{port: 465, answers: tls, host: mail1}]\n")
    assert "none of the hosts that it is about is looked at" in run("--limit", "branches").stdout


# --- forms


def test_one_run_several_forms(run: Run) -> None:
    write(a_yaml=HOLDS + UNTOLD, b_yaml=FAILS)
    plain = run()
    files = [word for form in ("json", "markdown", "junit", "sarif") for word in (f"--{form}", f"r.{form}")]
    with_files = run(*files)
    assert (with_files.exit_code, with_files.stdout) == (9, plain.stdout)
    for form in ("json", "markdown"):
        found = run("--format", form)
        assert (found.exit_code, found.stdout) == (9, Path(f"r.{form}").read_text())
    told = json.loads(Path("r.json").read_text())
    assert told["counts"] == {"holds": 1, "fails": 1, "not_told": 1}
    assert [(it["outcome"], it["place"]["file"]) for it in told["expectations"]] == [
        ("holds", "tests/a.yaml"),
        ("not_told", "tests/a.yaml"),
        ("fails", "tests/b.yaml"),
    ]
    assert (
        Path("r.markdown").read_text().startswith("### mailprov test: 3 expectations: 1 holds, 1 does not hold, 1 is")
    )
    assert 'skipped="1"' in Path("r.junit").read_text()
    (result,) = json.loads(Path("r.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "unmet-expectation"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "tests/b.yaml", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 2, "startColumn": 9}


def test_an_invalid_file_in_every_form(run: Run) -> None:
    write(a_yaml="port: []\n")
    files = [word for form in ("json", "markdown", "junit", "sarif") for word in (f"--{form}", f"r.{form}")]
    assert run(*files).exit_code == 3
    (error,) = json.loads(Path("r.json").read_text())["errors"]
    assert (error["file"], error["line"], error["exit"]) == ("tests/a.yaml", 2, 3)
    (result,) = json.loads(Path("r.sarif").read_text())["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("invalid-expectations", "error")
    assert "tests/a.yaml:2:1" in Path("r.junit").read_text() and "tests/a.yaml:2:1" in Path("r.markdown").read_text()
    assert json.loads(run("--format", "json").stdout)["report"] == "error"


# --- changes of strangers


def test_confined(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailprov.connection.connect.open_host", None)
    write(a_yaml=HOLDS)
    assert run("--confined").exit_code == 0
    for words in (("../outside/policy.yaml",), ("/etc/passwd",), ("tests/link.yaml",)):
        Path("tests/link.yaml").unlink(missing_ok=True)
        Path("tests/link.yaml").symlink_to("../../outside/policy.yaml")
        found = run("--confined", *words)
        assert (found.exit_code, "leads out of the folder of the main file" in found.stderr) == (3, True), words
    assert run("--confined").exit_code == 3, "a link in tests/ is followed nowhere"
    Path("tests/link.yaml").unlink()
    found = run("--confined", "--live")
    assert (found.exit_code, "which --confined refuses" in found.stderr) == (1, True)
    secret = OFFICE.read_text(encoding="utf-8").replace(
        "- {address: dave@other.example}", "- {address: dave@other.example, password: {hash: {file: /etc/shadow}}}"
    )
    Path("mail.yaml").write_text(secret, encoding="utf-8")
    assert run().exit_code == 0, "no secret is read for this"
    assert run("--confined").exit_code == 3


# --- asked


Look = Callable[..., Sequence[Check]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What ports and DNS answer: by "ADDRESS:PORT" a Cause, or None for the TLS that is asked for; by (name, type)
    an answer of DNS. `ends` gets what is asked."""
    said: dict[str, object] = {"ports": {}, "dns": {}, "ends": [], "resolver": None}

    def look(end: Endpoint, *_: object, **__: object) -> Sequence[Check]:
        assert isinstance(said["ends"], list) and isinstance(said["ports"], dict)
        said["ends"].append(f"{end.address}:{end.port} {end.mode} {end.protocol}")
        cause = said["ports"].get(f"{end.address}:{end.port}")
        if cause in (Cause.REFUSED, Cause.CONNECT_TIMEOUT, Cause.DNS):
            return (Check(end, "connect", False, 0.1, cause.value, cause=cause),)
        made = [Check(end, "connect", True, 0.1, "TCP")]
        if cause is Cause.CLEARTEXT_LOGIN:
            made.append(Check(end, "cleartext login refused", False, 0.1, "PLAIN is offered", cause=cause))
        if cause is Cause.NOT_TLS:
            return (*made, Check(end, "tls", False, 0.1, "cleartext", cause=cause))
        return (*made, Check(end, "tls", True, 0.1, "TLSv1.3"), Check(end, "certificate", False, 0.1, "expired"))

    def ask(questions: Sequence[Query], resolver: object) -> Mapping[Query, Answer]:
        assert isinstance(said["dns"], dict)
        said["resolver"] = resolver
        return {query: said["dns"].get(query, Answer()) for query in questions}

    monkeypatch.setattr("mailprov.workflows.expectations.check_listener", look)
    monkeypatch.setattr("mailprov.dns.resolver.ask", ask)
    return said


def test_ports_are_asked_and_nothing_that_nobody_expects_anything_of(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml="ports: [{port: 993, answers: tls, host: mail1}, {port: [80, 995], answers: closed, host: mail1}]\n")
    asked["ports"] = {"192.0.2.10:80": Cause.REFUSED, "192.0.2.10:995": Cause.CONNECT_TIMEOUT}
    found = run("--live", "--details")
    assert found.exit_code == 9, "the declaration opens 995 to some"
    assert "asked from here, mail1: port 993 answers tls" in found.stdout
    assert "asked from here, mail1: port 80: refused" in found.stdout
    assert "asked from here, mail1: port 995: connect-timeout" in found.stdout
    assert isinstance(asked["ends"], list)
    assert sorted(asked["ends"]) == [
        "192.0.2.10:143 starttls imap",
        "192.0.2.10:25 starttls smtp",
        "192.0.2.10:465 tls submission",
        "192.0.2.10:587 starttls submission",
        "192.0.2.10:80 tls imap",
        "192.0.2.10:993 tls imap",
        "192.0.2.10:995 tls pop3",
    ], "the others tell whether the machine is there"
    asked["ports"] = {"192.0.2.10:993": Cause.NOT_TLS}
    found = run("--live")
    assert "asked from here, mail1: port 993: tls: cleartext" in found.stdout
    assert "asked from here, mail1: port 80 is open" in found.stdout


def test_a_port_that_others_may_reach_is_judged_by_the_declaration(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml="ports: [{port: 995, answers: tls, from: 10.0.0.0/8, host: mail1}]\n")
    assert run("--live").exit_code == 0
    assert asked["ends"] == []
    write(a_yaml="ports: [{port: 995, answers: tls, host: mail1}]\n")
    asked["ports"] = {"192.0.2.10:995": Cause.CONNECT_TIMEOUT}
    found = run("--live", "--format", "json")
    (it,) = json.loads(found.stdout)["expectations"]
    assert [(each["by"], each["holds"]) for each in it["findings"]] == [("declaration", False), ("host", None)]


def test_a_machine_that_is_not_there_has_no_closed_ports(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml="ports: [{port: 3306, answers: closed, host: mail1}]\n")
    asked["ports"] = {f"192.0.2.10:{port}": Cause.CONNECT_TIMEOUT for port in (3306, 993, 995, 143, 587, 465, 25)}
    found = run("--live", "--format", "json")
    told = json.loads(found.stdout)
    (it,) = told["expectations"]
    assert [each["holds"] for each in it["findings"]] == [True, None]
    assert (found.exit_code, told["holds"], told["failed"][0]["host"]) == (7, False, "mail1")
    assert "mail1: nothing answers there" in found.stderr


def test_listeners_without_tls(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml="limits: [{of: listeners_without_tls, at_most: 0}]\n")
    assert run("--live").exit_code == 0
    asked["ports"] = {"192.0.2.11:143": Cause.CLEARTEXT_LOGIN}
    found = run("--live")
    assert (found.exit_code, "asked from here: 1 listener: imap 143 on mail2" in found.stdout) == (9, True)
    asked["ports"] = {"192.0.2.11:143": Cause.REFUSED}
    found = run("--live", "--format", "json")
    (it,) = json.loads(found.stdout)["expectations"]
    assert it["findings"][1] == {
        "by": "host",
        "host": None,
        "holds": None,
        "what": "not seen from here: imap 143 on mail2",
    }


def test_a_limit_of_hosts_that_are_not_looked_at_is_not_told(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml="limits: [{of: listeners_without_tls, at_most: 0, host: branches}]\n")
    found = run("--live", "--limit", "mail1")
    assert (found.exit_code, "none of the hosts that it is about is looked at" in found.stdout) == (9, True)
    assert run("--live", "--limit", "branches").exit_code == 0


def test_a_domain_that_needs_no_record_is_not_told(
    run: Run, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(a_yaml=UNTOLD)
    monkeypatch.setattr("mailprov.expectations.seen.records", lambda *_: ())
    found = run("--live")
    assert (found.exit_code, "not told here: no record is known that it needs" in found.stdout) == (9, True)


RECORDS = """\
records:
  - {name: example.com, type: MX, values: 10 mail.example.com.}
  - {name: s1._domainkey.example.com, type: TXT, values: v=DKIM1; p=abc}
  - {name: mail.example.com, type: A, values: [192.0.2.10]}
  - {domain: branch.example}
"""


def test_records_are_asked_of_a_resolver(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml=RECORDS)
    asked["dns"] = {
        ("example.com", "MX"): Answer(("5 mail.example.com.",)),
        ("s1._domainkey.example.com", "TXT"): Answer(("other", "v=DKIM1; p=abc")),
        ("mail.example.com", "A"): Answer(("192.0.2.10", "192.0.2.66")),
    }
    found = run("--live", "--resolver", "192.0.2.53:5353")
    assert asked["resolver"] == ("192.0.2.53", 5353)
    assert found.exit_code == 9
    assert "DNS: mail.example.com A: not declared: 192.0.2.66" in found.stdout
    assert re.search("DNS has what branch.example needs\n +DNS: branch.example MX: nothing is there", found.stdout)
    assert found.stdout.endswith("4 expectations: 2 hold, 2 do not hold.\n")


def test_a_resolver_that_says_nothing(run: Run, asked: dict[str, object]) -> None:
    write(a_yaml=RECORDS.partition("  - {name: mail")[0])
    asked["dns"] = {("example.com", "MX"): Answer(why="SERVFAIL"), ("s1._domainkey.example.com", "TXT"): Answer()}
    found = run("--live")
    assert (found.exit_code, "not told here: example.com MX: no answer: SERVFAIL" in found.stdout) == (9, True)
    assert "missing: v=DKIM1; p=abc" in found.stdout
    write(a_yaml=RECORDS.partition("  - {name: s1")[0])
    found = run("--live")
    assert (found.exit_code, "DNS gives no answer\n  why: example.com MX: SERVFAIL" in found.stderr) == (1, True)


def test_options_that_do_not_go_together(run: Run) -> None:
    write(a_yaml=HOLDS)
    found = run("--resolver", "192.0.2.53")
    assert (found.exit_code, "add --live" in found.stderr) == (1, True)
    found = run("--live", "--resolver", "nonsense")
    assert (found.exit_code, "is no resolver" in found.stderr) == (1, True)
    found = run("--plan", "absent.json")
    assert (found.exit_code, "absent.json" in found.stderr) == (3, True)


def test_a_provider_has_all_domains(run: Run) -> None:
    """Without a host there is nothing to judge but what DNS has."""
    Path("mail.yaml").write_text("mailprov: 1\ndomains: [{name: hosted.example, hosted_by: icloud}]\n")
    write(
        a_yaml="logins: [{user: zoe@hosted.example}]\nlimits: [{of: accounts, at_most: 0}]\n",
        b_yaml="records: [{domain: hosted.example}]\n",
    )
    found = run()
    assert (found.exit_code, found.stdout.count("not told here")) == (9, 3 + 1)
