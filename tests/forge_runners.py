"""The recipes' own steps, run: a bare repository, a workspace for each job, and what a forge gives and keeps."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from forge_words import at, filled, value, within

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "templates/gitops"
REAL = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mailprov "$@"\n'
BOT = "github-actions[bot]"
Secrets = Mapping[str, Mapping[str, str]]
"""by environment, what it gives"""


def git(*words: str, cwd: Path) -> str:
    who = ("-c", "user.name=Team", "-c", "user.email=team@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(("git", *who, *words), cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@dataclass
class Job:
    """How a job ended; "skipped" where it did not run, and what was said."""

    name: str
    result: str = "skipped"
    log: str = ""
    status: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    environment: str = ""


@dataclass
class Run:
    """A run of the recipe: its number and its jobs."""

    number: int
    jobs: dict[str, Job] = field(default_factory=dict)
    left: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Job:
        return self.jobs[name]

    @property
    def ran(self) -> dict[str, str]:
        return {name: job.result for name, job in self.jobs.items() if job.result != "skipped"}

    @property
    def log(self) -> str:
        return "\n".join(job.log for job in self.jobs.values())


class Forge:
    """A forge with one repository: `origin`, bare, and `work`, a clone in which somebody writes."""

    def __init__(self, folder: Path, secrets: Secrets | None = None, program: str = REAL) -> None:
        self.folder, self.secrets, self.program = folder, secrets or {}, program
        self.store = folder / "store"
        self.origin, self.work = folder / "origin.git", folder / "work"
        self.runs = 0
        self.before_apply: Callable[[], None] = lambda: None
        (self.store / "artifacts").mkdir(parents=True)
        git("init", "--quiet", "--bare", str(self.origin), cwd=folder)
        git("clone", "--quiet", str(self.origin), str(self.work), cwd=folder)
        for name in ("gh", "curl"):
            script(folder / "bin" / name, f'#!/bin/sh\nexec {sys.executable} {folder}/programs/{name} "$@"\n')
            (folder / "programs").mkdir(exist_ok=True)
            shutil.copy(Path(__file__).with_name("forge_programs.py"), folder / "programs" / name)
        # what `python3 -I -m venv DIR` makes, and pip fills
        venv = f'mkdir -p "$4/bin"; ln -sf {folder}/bin/pip {folder}/bin/real/mailprov "$4/bin/"\n'
        script(folder / "bin/python3", f'#!/bin/sh\n[ "$1 $2 $3" = "-I -m venv" ] || exit 1\n{venv}')
        script(folder / "bin/pip", '#!/bin/sh\n[ "$1 $2 $3" = "install --quiet --requirement" ] && [ -f "$4" ]\n')
        script(folder / "bin/real/mailprov", program)
        self.know(**{kind: [] for kind in ("pulls", "comments", "issues", "artifacts")})
        self.know(**{kind: [] for kind in ("requests", "notes", "pipelines", "jobs")})

    # --- what the forge knows

    @property
    def known(self) -> dict[str, Any]:
        path = self.store / "state.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def know(self, **more: Any) -> None:
        (self.store / "state.json").write_text(json.dumps({**self.known, **more}))

    def commit(self, message: str, branch: str = "main") -> str:
        """Everything in `work`, committed on a branch and pushed: the commit."""
        if git("symbolic-ref", "--short", "HEAD", cwd=self.work) != branch:
            git("checkout", "--quiet", "-B", branch, cwd=self.work)
        git("add", "--all", cwd=self.work)
        git("commit", "--quiet", "--allow-empty", "--message", message, cwd=self.work)
        git("push", "--quiet", "--force", "origin", branch, cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    def merge(self, branch: str) -> str:
        """The merge commit of a branch on main."""
        git("checkout", "--quiet", "main", cwd=self.work)
        git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", branch, cwd=self.work)
        git("push", "--quiet", "origin", "main", cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    # --- jobs

    def _places(self, run: Run, job: str) -> tuple[Path, Path, dict[str, str]]:
        """A workspace, a folder for what is temporary, and the environment of each step."""
        base = self.folder / f"runner/{run.number}-{job}"
        workspace, temporary = base / "workspace", base / "tmp"
        temporary.mkdir(parents=True)
        (base / "home").mkdir()
        environment = {
            **{name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ},
            "PATH": f"{self.folder}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(base / "home"),
            "TMPDIR": str(temporary),
            "FORGE": str(self.store),
            "no_proxy": "*",
            "CI": "true",
        }
        run.left[job] = (workspace, temporary, base / "home")
        return workspace, temporary, environment

    def _checkout(self, workspace: Path, commit: str) -> None:
        git("clone", "--quiet", "--no-checkout", str(self.origin), str(workspace), cwd=self.folder)
        git("checkout", "--quiet", "--detach", commit, cwd=workspace)

    def _shell(self, text: str, cwd: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return done.returncode, done.stdout

    def files(self) -> Iterator[Path]:
        """What runs have left on runners and in the forge: workspaces, artifacts, comments, logs."""
        for top in (self.store, self.folder / "runner"):
            yield from (path for path in top.rglob("*") if path.is_file() and ".git" not in path.parts)


class GitHub(Forge):
    """.github/workflows/mail.yml, as GitHub runs it."""

    REPOSITORY = "team/mail"

    def __init__(self, folder: Path, secrets: Secrets | None = None, program: str = REAL, **variables: str) -> None:
        super().__init__(folder, secrets, program)
        self.variables = variables

    def pull(self, branch: str, repository: str = REPOSITORY, number: int = 1) -> Run:
        """The run for a pull request of a branch, in this repository or a fork."""
        head = {"sha": git("rev-parse", branch, cwd=self.work), "repo": {"full_name": repository}}
        return self._run("pull_request", head["sha"], {"number": number, "pull_request": {"head": head}})

    def merged(self, branch: str, labels: tuple[str, ...] = ()) -> Run:
        """The run for the merge of a branch."""
        head, merge = git("rev-parse", branch, cwd=self.work), self.merge(branch)
        pull = {"head": {"sha": head}, "merge_commit_sha": merge, "merged_at": "2026-01-01T00:00:00Z"}
        older = {**pull, "merge_commit_sha": head, "labels": [{"name": "allow-takeover"}]}
        self.know(pulls=[older, {**pull, "labels": [{"name": label} for label in labels]}])
        return self.push(merge)

    def push(self, commit: str) -> Run:
        return self._run("push", commit, {})

    def dispatch(self, consents: str = "") -> Run:
        """Run by hand on main."""
        commit = git("rev-parse", "main", cwd=self.work)
        return self._run("workflow_dispatch", commit, {}, {"consents": consents})

    def night(self) -> Run:
        return self._run("schedule", git("rev-parse", "main", cwd=self.work), {})

    def recipe(self, commit: str) -> dict[Any, Any]:
        return yaml.safe_load(git("show", f"{commit}:.github/workflows/mail.yml", cwd=self.work))

    def _run(self, event: str, commit: str, told: Mapping[str, Any], inputs: Mapping[str, str] = {}) -> Run:
        recipe = self.recipe(commit)
        assert event in recipe[True], "YAML reads `on` as true"
        assert recipe["permissions"] == {}
        self.runs += 1
        run = Run(self.runs)
        fork = told.get("pull_request", {}).get("head", {}).get("repo", {}).get("full_name", self.REPOSITORY)
        context = {
            "github": {
                "event_name": event,
                "event": told,
                "repository": self.REPOSITORY,
                "sha": commit,
                "ref": "refs/heads/main" if event != "pull_request" else "refs/pull/1/merge",
                "token": "gh-token-canary",
                "run_id": run.number,
                "run_attempt": 1,
            },
            "vars": self.variables,
            "inputs": inputs,
        }
        for name, job in recipe["jobs"].items():
            self._job(run, name, job, context, fork)
        return run

    def _job(self, run: Run, name: str, job: dict[str, Any], context: dict[str, Any], fork: str) -> None:
        run.jobs[name] = done = Job(name)
        needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        needs = {each: {"result": run[each].result, "outputs": run[each].outputs} for each in needed}
        well = all(run[each].result == "success" for each in needed)
        environment = job.get("environment", "")
        # A pull request from a fork gets no secret, whatever the recipe says.
        secrets = self.secrets.get(environment, {}) if fork == self.REPOSITORY else {}
        here = {**context, "needs": needs, "secrets": secrets, "steps": {}}
        if not self._wanted(job.get("if", ""), here, well):
            return
        done.environment, done.result = environment, "success"
        if name == "apply":
            assert job["concurrency"] == {"group": "mail-hosts", "cancel-in-progress": False}
            self.before_apply()
        workspace, temporary, shared = self._places(run, name)
        for kind in ("GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
            shared[kind] = str(temporary / kind.lower())
            Path(shared[kind]).touch()
        shared |= {
            "RUNNER_TEMP": str(temporary),
            "GITHUB_REPOSITORY": self.REPOSITORY,
            "GITHUB_SHA": context["github"]["sha"],
            "GITHUB_EVENT_NAME": context["github"]["event_name"],
            "GITHUB_RUN_ID": str(run.number),
        }
        for step in job["steps"]:
            self._step(step, run, done, here, workspace, shared)
        done.outputs = {key: filled(text, self._look(here, True)) for key, text in job.get("outputs", {}).items()}
        done.log += Path(shared["GITHUB_STEP_SUMMARY"]).read_text()

    def _look(self, context: Mapping[str, Any], well: bool) -> Callable[[str], Any]:
        functions = {"always()": True, "cancelled()": False, "success()": well, "failure()": not well}
        return lambda name: functions[name] if name.endswith("()") else at(context, name)

    def _wanted(self, condition: str, context: Mapping[str, Any], well: bool) -> bool:
        if not any(f"{name}()" in condition for name in ("always", "cancelled", "success", "failure")):
            if not well:
                return False
            if not condition:
                return True
        return bool(value(within(condition), self._look(context, well)))

    def _step(
        self, step: dict[str, Any], run: Run, job: Job, context: dict[str, Any], workspace: Path, shared: dict[str, str]
    ) -> None:
        if not self._wanted(step.get("if", ""), context, job.result == "success"):
            return
        look = self._look(context, job.result == "success")
        given = {key: filled(str(text), look) for key, text in step.get("with", {}).items()}
        action, _, pinned = step.get("uses", "").partition("@")
        status, said = 0, ""
        if action:
            assert len(pinned) == 40, "an action is pinned by its commit"
        if action == "actions/checkout":
            assert given["persist-credentials"] == "False"
            self._checkout(workspace, given["ref"])
        elif action == "actions/upload-artifact":
            status = self._upload(given, run, context, workspace)
        else:
            extra = Path(shared["GITHUB_PATH"]).read_text().split()
            path = ":".join([*reversed(extra), shared["PATH"]])
            own = {key: filled(str(text), look) for key, text in step.get("env", {}).items()}
            status, said = self._shell(step["run"], workspace, {**shared, **own, "PATH": path})
        job.log += said
        if "id" in step:
            lines = Path(shared["GITHUB_OUTPUT"]).read_text().splitlines()
            outputs = dict(line.split("=", 1) for line in lines)
            context["steps"][step["id"]] = {"outcome": "failure" if status else "success", "outputs": outputs}
        if status:
            job.result, job.status = "failure", job.status or status

    def _upload(self, given: Mapping[str, str], run: Run, context: Mapping[str, Any], workspace: Path) -> int:
        found = [path for name in given["path"].split() if (path := workspace / name).is_file()]
        if not found:
            return int(given["if-no-files-found"] == "error")
        into = self.store / "artifacts" / str(run.number) / given["name"]
        into.mkdir(parents=True)
        for path in found:
            shutil.copy(path, into)
        head = at(context, "github.event.pull_request.head.sha") or at(context, "github.sha")
        fork = (at(context, "github.event.pull_request.head.repo.full_name") or self.REPOSITORY) != self.REPOSITORY
        of = {"id": run.number, "head_sha": head, "repository_id": 1, "head_repository_id": 1 + fork}
        made = {"name": given["name"], "expired": False, "created_at": f"{run.number:09}", "workflow_run": of}
        self.know(artifacts=[*self.known["artifacts"], made])
        return 0


class _Reference(yaml.SafeLoader):
    """GitLab's YAML: `!reference [job, key]`."""


_Reference.add_constructor("!reference", lambda loader, node: ("reference", *loader.construct_sequence(node)))


class GitLab(Forge):
    """.gitlab-ci.yml, as GitLab runs it."""

    PROJECT = "5"

    def request(self, branch: str, project: str = PROJECT) -> Run:
        """The pipeline for a merge request of a branch, of this project or a fork."""
        more = {"CI_MERGE_REQUEST_IID": "1", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": project}
        return self._run("merge_request_event", git("rev-parse", branch, cwd=self.work), more)

    def merged(self, branch: str, labels: tuple[str, ...] = ()) -> Run:
        head, merge = git("rev-parse", branch, cwd=self.work), self.merge(branch)
        made = {"iid": 1, "state": "merged", "sha": head, "merge_commit_sha": merge, "squash_commit_sha": None}
        self.know(requests=[{**made, "state": "closed", "labels": ["allow-takeover"]}, {**made, "labels": [*labels]}])
        return self.push(merge)

    def push(self, commit: str) -> Run:
        return self._run("push", commit, {"CI_COMMIT_BRANCH": "main"})

    def by_hand(self, consents: str = "") -> Run:
        more = {"CI_COMMIT_BRANCH": "main", "MAILPROV_CONSENTS": consents}
        return self._run("web", git("rev-parse", "main", cwd=self.work), more)

    def night(self) -> Run:
        return self._run("schedule", git("rev-parse", "main", cwd=self.work), {"CI_COMMIT_BRANCH": "main"})

    def _run(self, source: str, commit: str, more: Mapping[str, str]) -> Run:
        recipe = yaml.load(git("show", f"{commit}:.gitlab-ci.yml", cwd=self.work), _Reference)  # noqa: S506
        self.runs += 1
        run = Run(self.runs)
        told = {
            "CI_PIPELINE_SOURCE": source,
            "CI_COMMIT_SHA": commit,
            "CI_PROJECT_ID": self.PROJECT,
            "CI_DEFAULT_BRANCH": "main",
            "CI_API_V4_URL": "https://gitlab.example/api/v4",
            **more,
        }
        assert self._rule(recipe["workflow"]["rules"], told) is not None
        project = int(more.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", self.PROJECT))
        pipeline = {"id": run.number, "sha": commit, "project_id": project}
        self.know(pipelines=[pipeline, *self.known["pipelines"]])
        names = [name for name in recipe if "script" in recipe[name] and not name.startswith(".")]
        for name in sorted(names, key=lambda name: recipe["stages"].index(recipe[name]["stage"])):
            self._job(run, name, recipe, told, project)
        return run

    def _rule(self, rules: list[dict[str, Any]], told: Mapping[str, str]) -> dict[str, Any] | None:
        fits = (rule for rule in rules if value(rule["if"], lambda name: told.get(name.removeprefix("$"), "")))
        return next(fits, None)

    def _lines(self, recipe: Mapping[str, Any], found: list[Any]) -> Iterator[str]:
        for line in found:
            if isinstance(line, tuple):
                yield from self._lines(recipe, recipe[line[1]][line[2]])
            else:
                yield line

    def _job(self, run: Run, name: str, recipe: dict[str, Any], told: Mapping[str, str], project: int) -> None:
        job = {**recipe.get(recipe[name].get("extends", ""), {}), **recipe[name]}
        run.jobs[name] = done = Job(name)
        rule = self._rule(job["rules"], told)
        before = [each for each in run.jobs.values() if recipe[each.name]["stage"] != job["stage"]]
        if rule is None or any(each.result == "failure" for each in before):
            return
        environment = job.get("environment", "")
        done.environment = environment if isinstance(environment, str) else environment["name"]
        if name == "apply":
            assert (rule["when"], job["resource_group"]) == ("manual", "mail-hosts")
            self.before_apply()
        workspace, _, shared = self._places(run, name)
        self._checkout(workspace, told["CI_COMMIT_SHA"])
        variables = {**told, **self.secrets.get(done.environment, {})} if project == int(self.PROJECT) else {**told}
        if done.environment.startswith("mail-"):  # as the recipe says how to set it up
            variables["MAILPROV_GITLAB_TOKEN"] = "gitlab-token-canary"
        for need in (each["job"] for each in job.get("needs", [])):
            kept = self.store / "artifacts" / f"{run.number}{list(recipe).index(need)}"
            if kept.exists():
                shutil.copytree(kept, workspace, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.env"))
                for line in (text for path in kept.rglob("*.env") for text in path.read_text().splitlines()):
                    variables |= [line.split("=", 1)]
        lines = self._lines(recipe, [*job.get("before_script", []), *job["script"]])
        done.status, done.log = self._shell("\n".join(lines), workspace, {**shared, **variables})
        done.result = "failure" if done.status else "success"
        number = int(f"{run.number}{list(recipe).index(name)}")
        made = {"id": number, "name": name, "pipeline": {"id": run.number}}
        if done.result == "success":
            self.know(jobs=[*self.known["jobs"], made])
        self._keep(job.get("artifacts", {}), done, workspace, self.store / "artifacts" / str(number))

    def _keep(self, artifacts: dict[str, Any], job: Job, workspace: Path, into: Path) -> None:
        if job.result == "failure" and artifacts.get("when") != "always":
            return
        for name in [*artifacts.get("paths", []), *artifacts.get("reports", {}).values()]:
            path = workspace / name
            for each in path.rglob("*") if path.is_dir() else [path] if path.is_file() else []:
                place = into / each.relative_to(workspace)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(each, place)
