"""A release: the same bytes twice, each file what it says, and each of them at work on a clean Debian."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from test_wheel import test_the_wheel_carries_all_that_is_read_at_run_time as all_that_is_read
from test_wheel import test_the_wheel_carries_nothing_else as nothing_else

from mailprov import __version__, extras
from mailprov.lab import Lab, LabHost

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "script"))

import dist  # noqa: E402
import wheels  # noqa: E402

pytestmark = [
    pytest.mark.xdist_group("wheel"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a release is made of a Git checkout"),
]

HERE = wheels.Target(platform.machine(), f"3.{sys.version_info[1]}")
BOOKWORM = wheels.Target(platform.machine(), "3.11")
TARGETS = tuple(dict.fromkeys((BOOKWORM, HERE)))
"""of all machines that mailprov.pyz is for, the two that are here"""

DECLARATION = """\
mailprov: 1
hosts: {here: {address: local, hostname: mail.example.com}}
domains: [example.com]
users: [{address: alice@example.com, password: {initial: {file: initial}}}]
tls: {self_signed: {}}
services: {imap: {tls: 993}}
"""
SHIPPED = {
    f"mailprov-{__version__}.tar.gz",
    f"mailprov-{__version__}-py3-none-any.whl",
    f"mailprov-{__version__}.cdx.json",
    *("mailprov.pyz", "mailprov.1", "Containerfile", "release.lock", "release-notes.md", "SHA256SUMS"),
}


def run(*argv: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PEX"))}
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=clean | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def git(folder: Path, *words: str) -> None:
    me = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    done = run("git", *me, *words, cwd=folder)
    assert done.returncode == 0, done.stderr


def cloned(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(folder.parent, "clone", "--quiet", "--no-tags", str(ROOT), folder.name)
    return folder


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheels of the lock are kept, fetched."""
    kept = tmp_path_factory.mktemp("kept")
    wheels.wheels(ROOT / wheels.LOCK, TARGETS, kept)
    return kept


@pytest.fixture(scope="module")
def releases(needed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The last commit released twice, in clones and surroundings that have little in common."""
    folder = tmp_path_factory.mktemp("dist")

    def released(name: str, umask: str, **environment: str) -> Path:
        clone = cloned(folder / name)
        words = [sys.executable, "script/dist.py", "--wheels", str(needed), "--targets", *map(str, TARGETS)]
        done = run("sh", "-c", f'umask {umask}; exec "$@"', "sh", *words, cwd=clone, **environment)
        assert done.returncode == 0, done.stderr
        assert f"mailprov {__version__} (a trial: no tag is on this commit)" in done.stdout
        return clone / "dist"

    elsewhere = {
        "TZ": "Asia/Shanghai",
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": "1",
        "HOME": str(folder),
        "PYTHONHASHSEED": "7",
    }
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(released, "a", "0022")
        other = pool.submit(released, "a longer name/b", "0077", **elsewhere)
        return one.result(), other.result()


@pytest.fixture(scope="module")
def release(releases: tuple[Path, Path]) -> Path:
    return releases[0]


# --- what is released


def test_twice_is_the_same(releases: tuple[Path, Path]) -> None:
    one, other = (
        {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in each.iterdir()} for each in releases
    )
    assert set(one) == SHIPPED
    assert one == other
    assert run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=releases[0]).returncode == 0
    assert len((releases[0] / "SHA256SUMS").read_text().splitlines()) == len(SHIPPED) - 1


def test_nothing_of_this_machine_is_in_it(release: Path) -> None:
    text = b"".join(file.read_bytes() for file in release.iterdir() if file.suffix in (".json", ".md", ".lock", ".1"))
    with zipfile.ZipFile(release / "mailprov.pyz") as packed:
        text += packed.read("PEX-INFO")
    for folder in (release.parents[1], ROOT, Path(sys.prefix)):
        assert bytes(folder) not in text


def test_the_wheel_is_whole(release: Path) -> None:
    (wheel,) = release.glob("*.whl")
    all_that_is_read(wheel)
    nothing_else(wheel)


def test_the_sdist_is_what_is_committed(release: Path) -> None:
    listed = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    with tarfile.open(release / f"mailprov-{__version__}.tar.gz") as packed:
        members = packed.getmembers()
    held = {member.name.partition("/")[2] for member in members} - {"PKG-INFO"}
    assert held <= set(listed), "nothing else"
    assert set(filter(None, listed)) - held <= {".gitignore"}
    assert {(member.uid, member.uname, member.mode & 0o022) for member in members} == {(0, "", 0)}


def test_the_zipapp_holds_the_wheels_as_they_were_published(release: Path) -> None:
    lock = (release / "release.lock").read_text()
    (own,) = release.glob("*.whl")
    with zipfile.ZipFile(release / "mailprov.pyz") as packed:
        inside = [name for name in packed.namelist() if name.endswith(".whl")]
        for name in inside:
            digest = hashlib.sha256(packed.read(name)).hexdigest()
            assert digest in lock or packed.read(name) == own.read_bytes(), name
    assert {str(parse_wheel_filename(Path(name).name)[0]) for name in inside} == {"mailprov", *locked(lock)}


def test_the_materials_are_those_of_the_lock(release: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (release / f"mailprov-{__version__}.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    itself = document["metadata"]["component"]
    assert (itself["name"], itself["version"]) == ("mailprov", __version__)
    found = {canonicalize_name(each["name"]): each["version"] for each in document["components"]}
    assert found == locked((release / "release.lock").read_text())
    assert all(each["purl"].startswith("pkg:pypi/") for each in document["components"])
    (direct,) = (each["dependsOn"] for each in document["dependencies"] if each["ref"] == itself["bom-ref"])
    assert {canonicalize_name(each.partition("==")[0]) for each in direct} == {line.name.lower() for line in wanted()}


def test_the_image_is_described_without_a_fault(release: Path) -> None:
    described = release / "Containerfile"
    assert described.read_bytes() == (ROOT / "Containerfile").read_bytes()
    done = run(Path(sys.executable).parent / "hadolint", described, cwd=release)
    assert (done.returncode, done.stdout) == (0, "")
    text = described.read_text()
    for pattern in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)[0].split():
        assert len(list(release.glob(pattern))) == 1, pattern
    assert text.rstrip().endswith('ENTRYPOINT ["mailprov"]')
    assert re.findall(r"^USER (\d+)$", text, re.M) == ["10001"]


def test_the_notes_are_the_changelogs(release: Path) -> None:
    text = (release / "release-notes.md").read_text(encoding="utf-8")
    assert text.startswith(f"# mailprov after {__version__} (not released)\n\n### Added\n")
    assert "\n## " not in text


# --- the lock


def locked(lock: str) -> Mapping[str, str]:
    return dict(re.findall(r"^(\S+)==(\S+)", lock, re.M))


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in wheels.EXTRAS for line in project["optional-dependencies"][extra]),
    ]
    return [Requirement(line) for line in lines]


def test_the_lock_has_what_is_asked_for() -> None:
    known = locked((ROOT / wheels.LOCK).read_text())
    for line in wanted():
        assert line.specifier.contains(known[canonicalize_name(line.name)]), f"run `make lock`: {line}"
    assert wheels.EXTRAS == extras.BUILT_IN


def test_a_lock_has_one_release_of_each(tmp_path: Path) -> None:
    for name in ("a/x-1-py3-none-any.whl", "b/x-1-py3-none-any.whl", "b/Y_z-2-cp311-cp311-linux_x86_64.whl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name[-30:])
    text = "".join(wheels._lines(sorted(tmp_path.glob("*/*.whl"))))
    assert re.findall(r"^(\S+)==", text, re.M) == ["x", "y-z"]
    (tmp_path / "b/x-2-py3-none-any.whl").touch()
    with pytest.raises(wheels.ReleaseError, match=r"different releases of x \(1, 2\)\n  to do: bound them"):
        "".join(wheels._lines(sorted(tmp_path.glob("*/*.whl"))))


def test_every_target_takes_its_own_wheels() -> None:
    target = wheels.Target("aarch64", "3.12")
    tags = target.complete["compatible_tags"]
    assert tags.index("cp312-cp312-manylinux_2_28_aarch64") < tags.index("cp311-abi3-manylinux_2_28_aarch64")
    assert "py3-none-any" in tags and not any("x86_64" in tag or "manylinux_2_39" in tag for tag in tags)
    assert len({str(each) for each in wheels.TARGETS}) == 6


# --- versions, tags, notes


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(tmp_path / "clone")


def test_a_tag_of_this_version_makes_it_a_release(clone: Path, tmp_path: Path) -> None:
    git(clone, "tag", f"v{__version__}")
    git(clone, "tag", "nightly")
    found = dist.described(clone, tmp_path / "tree")
    assert (found.version, found.tagged) == (__version__, True)
    assert found.epoch == int(run("git", "log", "-1", "--format=%ct", cwd=clone).stdout)
    page = dist.notes((found.tree / "CHANGELOG.md").read_text(encoding="utf-8"), found.version, tagged=True)
    assert re.match(rf"# mailprov {re.escape(__version__)} \([\d-]{{10}}\)\n\n", page)


def refused(folder: Path, *words: str) -> str:
    done = run(sys.executable, "script/dist.py", *words, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_tag_of_another_version_is_refused(clone: Path) -> None:
    git(clone, "tag", "v9.9.9")
    said = refused(clone)
    assert f"the tag v9.9.9 is on this commit, and mailprov/__init__.py says {__version__}" in said
    assert "to do: write 9.9.9 there, commit, and tag that commit; or remove the tag" in said
    assert not (clone / "dist").exists()


def test_a_release_that_the_changelog_does_not_know_is_refused(clone: Path) -> None:
    file = clone / "mailprov/__init__.py"
    file.write_text(file.read_text().replace(__version__, "9.9.9"))
    git(clone, "commit", "--quiet", "--all", "--message", "9.9.9")
    git(clone, "tag", "9.9.9")
    assert "CHANGELOG.md has no entry `## [9.9.9] - DATE`" in refused(clone)


def test_what_is_not_committed_is_not_in_it(clone: Path, tmp_path: Path) -> None:
    (clone / "mailprov/__init__.py").write_text("")
    (clone / "mailprov/secret.txt").touch()
    found = dist.described(clone, tmp_path / "tree")
    assert found.version == __version__
    assert not (found.tree / "mailprov/secret.txt").exists()


def test_a_folder_of_somebody_elses_is_left_alone(clone: Path) -> None:
    (clone / "dist").mkdir()
    (clone / "dist/mine").touch()
    assert "dist/ holds something else than a release\n  to do: empty it" in refused(clone)
    assert (clone / "dist/mine").exists()


def test_what_is_no_checkout_is_told_so(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    assert "is no Git checkout with a commit" in refused(clone, "--into", "made")


# --- the hook for pre-commit


def test_the_hook_is_one_that_pre_commit_takes(tmp_path: Path) -> None:
    from pre_commit.clientlib import load_manifest

    (hook,) = load_manifest(ROOT / ".pre-commit-hooks.yaml")
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("mailprov-validate", "python", False)
    for name in ("mail.yaml", "teams/a.yml", "staff.csv", "员工.xlsx"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "README.md")
    words = [*hook["entry"].split(), *hook["args"]]
    assert words[0] == "mailprov"
    (tmp_path / "initial").write_text("correct horse battery staple")
    for text, status in ((DECLARATION, 0), (DECLARATION.replace("993", "0"), 3)):
        (tmp_path / "mail.yaml").write_text(text)
        assert run(sys.executable, "-m", *words, cwd=tmp_path, PYTHONPATH=str(ROOT)).returncode == status


# --- at work


@pytest.fixture(scope="module")
def clean(release: Path, needed: Path) -> Iterator[LabHost]:
    """A Debian 12 that has Python and nothing of ours, with the released files in /root/dist."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(release, "dist")
        for folder in needed.iterdir():
            for wheel in folder.glob("*.whl"):
                archive.add(wheel, f"needed/{wheel.name}")
    with Lab() as lab:
        host = lab.boot("clean", "bookworm", packages=("python3", "python3-venv"))
        host.run(("tar", "-x", "-C", "/root"), stdin=packed.getvalue())
        host.run(("mkdir", "/root/work"))
        host.write("/root/work/mail.yaml", DECLARATION.encode())
        host.write("/root/work/initial", b"correct horse battery staple")
        yield host


@pytest.mark.host
def test_the_wheel_plans_on_a_clean_host(clean: LabHost) -> None:
    install = "python3 -m venv venv && venv/bin/pip install --quiet --no-index --find-links needed dist/*.whl"
    clean.run(("sh", "-ec", f"cd /root; {install}; test -f venv/share/man/man1/mailprov.1"))
    tried(clean, "/root/venv/bin/mailprov", "/root/venv/bin/python3 -m pip install ")


@pytest.mark.host
def test_the_zipapp_plans_on_a_clean_host(clean: LabHost) -> None:
    clean.run(("sh", "-ec", "cd /root/dist; sha256sum --check --strict SHA256SUMS"))
    tried(clean, "/root/dist/mailprov.pyz", "PEX_EXTRA_SYS_PATH=/root/dist/mailprov.pyz.extras ")
    # Nobody's account, without a home, a terminal, or a place to write
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/nonexistent")
    clean.run(("sh", "-ec", "mkdir -m 755 /opt/it; cp /root/dist/mailprov.pyz /opt/it"))
    done = clean.run((*nobody, "/opt/it/mailprov.pyz", "--version"))
    assert done.stdout.decode() == f"mailprov, version {__version__}\n"


def tried(host: LabHost, program: str, told: str) -> None:
    """The program tells its version, plans for the very host that it is on, and says how it gets an extra."""
    assert host.run((program, "--version")).stdout.decode() == f"mailprov, version {__version__}\n"
    planned = host.run(("sh", "-c", f"cd /root/work && {program} plan --detailed-exitcode"), check=False)
    assert (planned.returncode, planned.stderr.decode()) == (2, "")
    assert "here  (Debian 12" in planned.stdout.decode()
    assert "dovecot-imapd" in planned.stdout.decode()
    lacking = host.run(("sh", "-c", f"cd /root/work && {program} profiles -o out"), check=False)
    assert (lacking.returncode, told in lacking.stderr.decode()) == (1, True), lacking.stderr.decode()


SOCKETS = """\
d=/etc/systemd/system/ssh.socket.d; mkdir -p $d
printf '[Socket]\\nListenStream=\\nListenStream=22\\nListenStream=2222\\n' >$d/more.conf
systemctl daemon-reload; systemctl stop ssh.service; systemctl enable -q --now ssh.socket
"""


@pytest.mark.host
def test_a_host_manages_itself(clean: LabHost) -> None:
    """By `address: local`, nobody is connected over any port: those of SSH's socket unit stay open all the same."""
    clean.write("/root/work/mail.yaml", f"{DECLARATION}firewall: {{manage: true}}\n".encode())

    def typed(*words: str) -> tuple[int, str]:
        done = clean.run(("sh", "-c", 'cd /root/work; /root/dist/mailprov.pyz "$@"', "sh", *words), check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    status, said = typed("apply", "--yes")
    assert status == 0, said
    clean.run(("sh", "-ec", SOCKETS))
    status, said = typed("apply", "--yes")
    assert (status, said.count("needs --allow-opening")) == (5, 1), said
    assert "opens port 2222 to everyone, for SSH (ssh.socket): needs --allow-opening" in said
    status, said = typed("apply", "--yes", "--allow-opening")
    assert status == 0, said
    listed = clean.run(("nft", "list", "table", "inet", "mailprov")).stdout.decode()
    assert all(f'tcp dport {port} accept comment "ssh"' in listed for port in (22, 2222))
    for words in (("plan", "--detailed-exitcode"), ("verify",)):
        status, said = typed(*words)
        assert status == 0, said
    status, said = typed("rollback", "--yes")
    assert (status, "closes port 2222 (ssh.socket)" in said) == (5, True), said
    status, said = typed("rollback", "--yes", "--allow-closing")
    assert status == 0, said
    assert b":2222" in clean.run(("ss", "-Hltn")).stdout
