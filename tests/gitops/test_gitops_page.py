"""docs/gitops.md, typed; what needs a host of its own is typed in tests/mail/test_mail_gitops.py."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml
from forge_runners import ROOT, TEMPLATE

PAGE, CHINESE = ROOT / "docs/gitops.md", ROOT / "docs/gitops.zh-CN.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
REAL = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mailprov "$@"\n'
NOTED = '#!/bin/sh\necho "$*" >>"$HOME/asked"\n'


def blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def test_both_languages_show_the_same() -> None:
    assert blocks(PAGE) == blocks(CHINESE)
    pages = [page.read_text(encoding="utf-8") for page in (PAGE, CHINESE)]
    for pattern in (r"^## ", r"^\|", r"^- \*\*"):
        assert len({len(re.findall(pattern, page, re.M)) for page in pages}) == 1, pattern
    own = [(TEMPLATE / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]
    for pattern in (r"^## ", r"^\|", r"^- ", r"^\d\. ", r"`mailprov [^`]+`"):
        assert len({len(re.findall(pattern, page, re.M)) for page in own}) == 1, pattern


def test_the_page_is_typed(tmp_path: Path) -> None:
    program = tmp_path / "bin/mailprov"
    program.parent.mkdir()
    program.write_text(REAL)
    program.chmod(0o755)
    where, environment = tmp_path, {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "CI": "1"}
    typed = []
    for kind, body in blocks(PAGE):
        for line in body.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith(("mailprov trust", "./pipeline.sh plan")):
                program.write_text(NOTED)
            elif kind == "sh" and command.endswith("check"):
                program.write_text(REAL)
            done = subprocess.run(
                ("sh", "-c", command), cwd=where, env=environment, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            typed.append(command)
            where = tmp_path / "mail"
    assert typed[-3:] == ["./pipeline.sh plan", "./pipeline.sh apply out/plan.json", "./pipeline.sh drift"]
    recipients = (tmp_path / "mail/.age-recipients").read_text().splitlines()
    assert len([line for line in recipients if line.startswith("age1")]) == 2
    assert (tmp_path / "pipeline.txt").stat().st_mode & 0o777 == 0o600
    asked = [shlex.split(line)[0] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == ["trust", "plan", "test", "secret", "test", "apply", "drift", "check-certs"]


def test_what_the_pages_name_is_there() -> None:
    """Jobs, environments, variables."""
    page, recipe = PAGE.read_text(), (TEMPLATE / ".github/workflows/mail.yml").read_text()
    other, script = (TEMPLATE / ".gitlab-ci.yml").read_text(), (TEMPLATE / "pipeline.sh").read_text()
    steps = re.findall(r"^\| [^|]+ \| (.+?) \|", page, re.M)[1:]
    jobs = {name for step in steps for name in re.findall(r"`([a-z]+)`", step)}
    assert jobs == set(yaml.safe_load(recipe)["jobs"])
    assert all(re.search(rf"^{name}:", other, re.M) for name in jobs)
    for name in set(re.findall(r"MAILPROV_\w+", page)):
        assert f"{name}" in script and script.index(name) < script.index("set -efu")
    for name in ("mail-plan", "mail-nightly"):
        assert name in recipe and name in other
