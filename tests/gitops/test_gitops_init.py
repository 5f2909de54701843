"""`mailprov init --gitops`: what it writes, what it refuses, and that the files are what their readers take."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from forge_runners import ROOT, TEMPLATE, git

from mailprov.commands import run as call
from mailprov.engine.risks import FLAGS

EXAMPLE = ROOT / "examples/gitops"
FILES = {
    *(".age-recipients", ".github/workflows/mail.yml", ".gitignore", ".gitlab-ci.yml", "README.md", "README.zh-CN.md"),
    *(
        "CODEOWNERS",
        "known_hosts",
        "mail.yaml",
        "people/team.yaml",
        "pipeline.sh",
        "requirements.txt",
        "tests/policy.yaml",
    ),
}


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Each file with its contents, and whether it can be run."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK)) for path in found}


def mailprov(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "mailprov", *words)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new repository, in which somebody stands."""
    folder = tmp_path / "repo"
    assert call(["init", "--gitops", str(folder)]) == 0
    monkeypatch.chdir(folder)
    return folder


def test_the_example_is_what_is_written(tmp_path: Path) -> None:
    done = mailprov("init", "--gitops", "mail", cwd=tmp_path)
    assert (done.returncode, set(done.stdout.splitlines())) == (0, FILES), done.stderr
    assert "wrote 13 files into mail; next: read mail/README.md" in done.stderr
    assert tree(tmp_path / "mail") == tree(EXAMPLE) == tree(TEMPLATE)
    assert {name for name, (_, runs) in tree(tmp_path / "mail").items() if runs} == {"pipeline.sh"}


def test_it_is_valid_and_as_its_own_tests_expect(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("validate", "--strict"), ("validate", "--confined", "--strict"), ("test", "--confined")):
        assert call([*words]) == 0, capsys.readouterr().err


def test_whoever_loosens_the_policy_is_reviewed(repo: Path) -> None:
    """Whatever there is, or will be, has an owner; what people write has none."""
    text = (repo / "CODEOWNERS").read_text()
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == [["*", "@OPERATORS"], ["/people/"], ["!/people/"]]
    assert [name for name in FILES if name.startswith("people/")] == ["people/team.yaml"]


def test_a_repository_that_names_no_owner_is_told_so(repo: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "mailprov").write_text("#!/bin/sh\n")
    (tools / "mailprov").chmod(0o755)

    def checked() -> str:
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(["./pipeline.sh", "check"], env=environment, capture_output=True, text=True).stdout

    assert "CODEOWNERS names nobody of yours" in checked()
    path = repo / "CODEOWNERS"
    path.write_text(path.read_text().replace(" @OPERATORS", " @our-org/operators"))
    assert checked() == ""
    path.unlink()
    assert "CODEOWNERS names nobody of yours" in checked()


def test_what_somebody_has_committed_in_the_place_of_reports_goes(repo: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "mailprov").write_text(
        '#!/bin/sh\nset -- "$@" x\nwhile [ $1 != x ]; do [ $1 != --sarif ] || echo >$2; shift; done\n'
    )
    (tools / "mailprov").chmod(0o755)
    (repo / "out/validate.sarif").mkdir(parents=True)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["./pipeline.sh", "check"], env=environment, capture_output=True, text=True, cwd=repo)
    assert (done.returncode, (repo / "out/validate.sarif").is_file()) == (0, True), done.stderr


RECIPES = (
    ROOT / "action.yml",
    ROOT / "templates/mailprov/template.yml",
    ROOT / "templates/gitops/.gitlab-ci.yml",
    ROOT / "templates/gitops/.github/workflows/mail.yml",
)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_nothing_of_the_repository_is_run_while_mailprov_is_installed(recipe: Path, tmp_path: Path) -> None:
    """`python3 -m` looks into the folder that it is in first: a venv.py there would have the secrets of each job."""
    lines = [line.strip(" -") for line in recipe.read_text().splitlines() if "-m venv" in line]
    assert lines
    (tmp_path / "venv.py").write_text("import sys; sys.exit('the repository is run')")
    for line in lines:
        words = line.split(" -m ")[0].split()[1:]
        argv = [sys.executable, *words, "-m", "venv", "--help"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_it_can_be_written_into_a_clone(tmp_path: Path) -> None:
    git("init", "--quiet", str(tmp_path), cwd=tmp_path)
    (tmp_path / "LICENSE").write_text("ours")
    assert call(["init", "--gitops", str(tmp_path)]) == 0
    assert (tmp_path / "LICENSE").read_text() == "ours"
    git("add", "--all", cwd=tmp_path)
    assert set(git("ls-files", cwd=tmp_path).splitlines()) == FILES | {"LICENSE"}, "its own .gitignore hides none"


def test_it_can_be_written_beside_a_readme(tmp_path: Path) -> None:
    """Forges begin a repository with one."""
    (tmp_path / "README.md").write_text("ours")
    done = mailprov("init", "--gitops", ".", cwd=tmp_path)
    assert (done.returncode, "next: read MAIL.md" in done.stderr) == (0, True), done.stderr
    assert (tmp_path / "README.md").read_text() == "ours"
    assert set(tree(tmp_path)) == FILES | {"MAIL.md"}
    assert (tmp_path / "MAIL.md").read_bytes() == (TEMPLATE / "README.md").read_bytes()


def test_a_recipient_that_is_none_is_told_with_the_change(repo: Path) -> None:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(repo)}

    def checked() -> tuple[int, str]:
        done = subprocess.run(["./pipeline.sh", "check"], env=environment, capture_output=True, text=True, cwd=repo)
        return done.returncode, done.stderr

    assert checked()[0] == 0
    with (repo / ".age-recipients").open("a") as file:
        file.write("age1slipofthepen\n")
    status, said = checked()
    assert status == 3 and ".age-recipients:5:1" in said, said


@pytest.mark.parametrize("name", ["mail.yaml", "tests/policy.yaml", ".gitignore", "pipeline.sh"])
def test_nothing_is_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("nowhere")
    assert call(["init", "--gitops", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"there is already: {name}\n" in said and "nothing is overwritten" in said
    assert path.is_symlink() and [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_all_are_named_at_once(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["init", "--gitops", str(repo)]) == 1
    said = capsys.readouterr().err
    assert set(said.splitlines()[0].partition("already: ")[2].split(", ")) == FILES - {
        "README.md"
    }  # beside which ours has another name


@pytest.mark.parametrize("what", ["link", "file", "no parent", "read-only"])
def test_what_cannot_be_written_leaves_nothing(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, outside = tmp_path / "repo", tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    if what == "link":
        (folder / "tests").symlink_to(outside)
    elif what == "file":
        (folder / "tests").write_text("ours")
    elif what == "no parent":
        folder = tmp_path / "no/such"
    else:
        folder = Path("/proc/sys/kernel")
    before = sorted(tmp_path.rglob("*"))
    assert call(["init", "--gitops", str(folder)]) == 1
    assert capsys.readouterr().err.count("Error: ") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_one_place_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["init", "--gitops", str(tmp_path / "a"), "-o", str(tmp_path / "b")]) == 1
    assert "exclude each other" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


# --- what reads the files


def checked(schema: str, *words: str | Path) -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    argv = (program, "--builtin-schema", f"vendor.{schema}", *words)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_recipes_are_as_their_published_schemas_say(tmp_path: Path) -> None:
    checked("github-workflows", TEMPLATE / ".github/workflows/mail.yml")
    checked("gitlab-ci", "--data-transform", "gitlab-ci", TEMPLATE / ".gitlab-ci.yml")
    checked("github-actions", ROOT / "action.yml")
    # a component is its inputs, and then what any recipe is
    head, body = (ROOT / "templates/mailprov/template.yml").read_text().split("\n---\n")
    (tmp_path / "component.yml").write_text(body)
    checked("gitlab-ci", "--data-transform", "gitlab-ci", tmp_path / "component.yml")
    inputs = yaml.safe_load(head)["spec"]["inputs"]
    assert set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", body)) == set(inputs)
    for each in inputs.values():
        assert re.search(
            each.get("regex", ""),
            each.get("default", "https://forge.example.com/mailprov-1.2.0-py3-none-any.whl#sha256=0f"),
        )


def test_the_script_is_posix_and_clean() -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    subprocess.run((program, TEMPLATE / "pipeline.sh"), check=True)


@pytest.mark.parametrize("name", ["pipeline.sh", ".gitlab-ci.yml", ".github/workflows/mail.yml"])
def test_the_consents_that_a_recipe_knows_are_all_that_there_are(name: str) -> None:
    text = (TEMPLATE / name).read_text()
    one_by_one = re.findall(r"allow-([a-z]+)(?= \||\))", text)
    listed = [words.split("|") for words in re.findall(r'"\^allow-\(([a-z|]+)\)\$"', text)]
    assert [set(words) for words in listed or [one_by_one]] == [set(FLAGS)]


def test_a_recipe_gives_no_more_than_is_needed() -> None:
    recipe = yaml.safe_load((TEMPLATE / ".github/workflows/mail.yml").read_text())
    assert recipe["permissions"] == {}
    writes = {
        name: {key for key, how in job["permissions"].items() if how == "write"} for name, job in recipe["jobs"].items()
    }
    assert {name: may for name, may in writes.items() if may} == {"plan": {"pull-requests"}, "drift": {"issues"}}
    for job in recipe["jobs"].values():
        # Nothing that a stranger writes is part of a script's text: it comes by the environment.
        assert all("${{" not in step.get("run", "") for step in job["steps"])
        assert all(len(step["uses"].partition("@")[2]) == 40 for step in job["steps"] if "uses" in step)
    assert "${{" not in "".join(
        step["run"] for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    )


# --- a hostile repository in this layout


HOSTILE = {
    "a part with a host": ("people/x.yaml", "hosts: {evil: {address: 192.0.2.66}}"),
    "a part with a file": (
        "people/x.yaml",
        "users: [{address: a@example.com, password: {initial: {file: /etc/shadow}}}]",
    ),
    "a part with a variable": (
        "people/x.yaml",
        "users: [{address: a@example.com, password: {initial: {env: MAILPROV_AGE_IDENTITY}}}]",
    ),
    "a part with a staff list": ("people/x.yaml", "users: [{from_csv: ../../outside/staff.csv}]"),
    "a part that includes": ("people/x.yaml", "include: [../../outside/*.yaml]"),
    "a part that is a link outwards": ("people/x.yaml", "-> ../../outside/part.yaml"),
    "a part that is a device": ("people/x.yaml", "-> /dev/zero"),
    "a part that is a pipe": ("people/x.yaml", "|"),
    "a test that is a link outwards": ("tests/x.yaml", "-> ../../outside/part.yaml"),
    "a test that is a device": ("tests/x.yaml", "-> /dev/zero"),
    "a test that is a pipe": ("tests/x.yaml", "|"),
    "a link in place of reports": ("out", "-> ../outside"),
    "known hosts elsewhere": ("mail.yaml", "s|known_hosts: known_hosts|known_hosts: ../outside/known_hosts|"),
    "parts elsewhere": ("mail.yaml", "s|people/\\*.yaml|../outside/*.yaml|"),
    "a key elsewhere": (
        "mail.yaml",
        "s|  self_signed: {}|  certificate: {file: people/a.pem}\\n  key: {file: ../outside/key}|",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_stranger_changes_leads_nowhere(what: str, repo: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "part.yaml").write_text("leaked-canary: 1\nusers: [{address: leaked-canary@example.com}]\n")
    for name in ("staff.csv", "known_hosts", "key"):
        (outside / name).write_text("leaked-canary\n")
    before = tree(outside)
    name, text = HOSTILE[what]
    path = repo / name
    if text.startswith("s|"):
        _, old, new, _ = text.split("|")
        written = path.read_text()
        assert old.replace("\\", "") in written
        path.write_text(written.replace(old.replace("\\", ""), new.replace("\\n", "\n")))
    elif text == "|":
        os.mkfifo(path)
    elif text.startswith("-> "):
        path.symlink_to(text[3:])
    else:
        path.write_text(text)
    script = tmp_path / "bin/mailprov"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mailprov "$@"\n')
    script.chmod(0o755)
    environment = {"PATH": f"{script.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    secret = {"MAILPROV_AGE_IDENTITY": "identity-canary"}
    limit = f"ulimit -v {2_000_000}; exec ./pipeline.sh check"
    done = subprocess.run(
        ("sh", "-c", limit), cwd=repo, env=environment | secret, capture_output=True, text=True, timeout=30
    )
    said = done.stdout + done.stderr
    assert done.returncode in (1, 3), said
    assert "Traceback" not in said and "has a mistake" not in said
    reports = "".join(each.read_text() for each in (repo / "out").glob("*") if each.is_file())
    assert "canary" not in said + reports or what == "a link in place of reports"
    assert tree(outside) == before
    assert not [*tmp_path.glob("mailprov.*")], "what was private is gone"
