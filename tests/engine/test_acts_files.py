"""Files on a host: put whole or not at all, with their attributes, and taken back as they were."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from shell_sandbox import Sandbox, me


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def state_of(path: Path) -> tuple[object, ...] | None:
    """All of a file that an undo must bring back."""
    if not path.exists() and not path.is_symlink():
        return None
    about = path.lstat()
    link = str(path.readlink()) if path.is_symlink() else ""
    content = path.read_bytes() if path.is_file() and not link else b""
    return (stat.S_IFMT(about.st_mode), stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid, link, content)


def put(sandbox: Sandbox, path: Path, content: bytes = b"new\n", mode: str = "640") -> int:
    (sandbox.transaction / "new" / "1").write_bytes(content)
    return sandbox.call("put", "1", str(path), mode, *me()).returncode


@pytest.mark.parametrize("mode", ["600", "640", "644"])
@pytest.mark.parametrize("content", [b"", b"one\n", b"no newline at its end", b"\0\xff\r\n"])
def test_put_and_restore_where_nothing_was(sandbox: Sandbox, mode: str, content: bytes) -> None:
    path = sandbox.etc / "main.cf"
    assert put(sandbox, path, content, mode) == 0
    assert (path.read_bytes(), f"{stat.S_IMODE(path.stat().st_mode):o}") == (content, mode)
    assert not sandbox.leftovers()
    assert sandbox.call("restore", "1", str(path)).returncode == 0
    assert not path.exists()
    assert sandbox.call("restore", "1", str(path)).returncode == 0


def test_put_and_restore_over_a_file(sandbox: Sandbox) -> None:
    path = sandbox.etc / "main.cf"
    path.write_bytes(b"old\0\n")
    path.chmod(0o604)
    before, inode = state_of(path), path.stat().st_ino
    assert put(sandbox, path) == 0
    assert path.stat().st_ino != inode, "renamed into place, not written to"
    assert path.read_bytes() == b"new\n"
    for _ in range(2):  # an undo may be cut off and done again
        assert sandbox.call("restore", "1", str(path)).returncode == 0
        assert state_of(path) == before
        assert not sandbox.leftovers()


def test_readers_of_the_old_file_keep_it(sandbox: Sandbox) -> None:
    path = sandbox.etc / "main.cf"
    path.write_bytes(b"old\n")
    other_name = sandbox.etc / "hard-link"
    os.link(path, other_name)
    with path.open("rb") as reader:
        assert put(sandbox, path) == 0
        assert reader.read() == b"old\n"
    assert other_name.read_bytes() == b"old\n"


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "folder", "fifo"])
def test_put_leaves_what_is_no_plain_file(sandbox: Sandbox, kind: str) -> None:
    path, target = sandbox.etc / "main.cf", sandbox.root / "target"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
        if kind == "symlink":
            target.write_bytes(b"theirs\n")
    before, there = state_of(path), state_of(target)
    assert put(sandbox, path) == 1
    assert (state_of(path), state_of(target)) == (before, there)
    assert sandbox.call("restore", "1", str(path)).returncode == 0
    assert (state_of(path), state_of(target)) == (before, there)
    assert not sandbox.leftovers()
    said = sandbox.call("put", "1", str(path), "640", *me()).stdout
    assert f"{path} is in the way" in said


@pytest.mark.parametrize("failing", ["install", "stat", "touch", "sync", "mv"])
def test_a_failure_on_the_way_leaves_no_trace(sandbox: Sandbox, failing: str) -> None:
    path = sandbox.etc / "main.cf"
    path.write_bytes(b"old\n")
    before = state_of(path)
    (sandbox.transaction / "new" / "1").write_bytes(b"new\n")
    new = str(sandbox.transaction / "new" / "1")
    done = sandbox.call("place", new, str(path), "640", *me(), before=f"{failing}() {{ return 1; }}")
    assert done.returncode == 1
    assert state_of(path) == before
    assert not sandbox.leftovers()


def test_a_full_disk_leaves_no_truncated_file(sandbox: Sandbox) -> None:
    path = sandbox.etc / "main.cf"
    path.write_bytes(b"old\n")
    (sandbox.transaction / "new" / "1").write_bytes(b"n" * 200_000)
    new = str(sandbox.transaction / "new" / "1")
    done = sandbox.call("place", new, str(path), "640", *me(), before="trap '' XFSZ; ulimit -f 8")
    assert done.returncode == 1
    assert path.read_bytes() == b"old\n"
    assert not sandbox.leftovers()


def test_a_secret_is_never_open_to_others(sandbox: Sandbox) -> None:
    """Whatever the mode of the staged file, the new one is its owner's alone until it has its final mode."""
    staged, path = sandbox.transaction / "new" / "1", sandbox.etc / "key.pem"
    os.mkfifo(staged, 0o644)
    with ThreadPoolExecutor() as pool:
        placing = pool.submit(sandbox.call, "place", str(staged), str(path), "640", *me())
        with staged.open("wb", buffering=0) as stream:  # while nothing comes, the copy is under way
            while not (found := list(sandbox.etc.iterdir())):
                time.sleep(0.01)
            assert [stat.S_IMODE(new.stat().st_mode) for new in found] == [0o600]
            stream.write(b"key\n")
        assert placing.result().returncode == 0
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o640, b"key\n")


@pytest.mark.parametrize(("old_age", "apart"), [(100, None), (3, None), (1, 1), (0, 1), (-50, 1)])
def test_time_moves_on_and_is_not_now(sandbox: Sandbox, old_age: int, apart: int | None) -> None:
    """Postfix waits for files younger than two seconds; Dovecot looks at whole seconds only."""
    path = sandbox.etc / "accounts"
    path.write_bytes(b"old\n")
    now = time.time()
    os.utime(path, (now - old_age, now - old_age))
    old = int(path.stat().st_mtime)
    assert put(sandbox, path) == 0
    new = path.stat().st_mtime
    assert int(new) > old or old_age == 3
    assert int(new) != old
    if apart is not None:
        assert int(new) == old + apart
    else:
        assert new <= now - 1


def test_drop_and_restore(sandbox: Sandbox) -> None:
    path = sandbox.etc / "mailprov.nft"
    path.write_bytes(b"table\n")
    before = state_of(path)
    assert sandbox.call("drop", "1", str(path)).returncode == 0
    assert not path.exists()
    assert sandbox.call("restore", "1", str(path)).returncode == 0
    assert state_of(path) == before
    path.unlink()
    assert sandbox.call("drop", "2", str(path)).returncode == 0
    assert sandbox.call("restore", "2", str(path)).returncode == 0
    assert not path.exists()


def test_restore_of_what_was_never_saved_touches_nothing(sandbox: Sandbox) -> None:
    path = sandbox.etc / "main.cf"
    path.write_bytes(b"theirs\n")
    assert sandbox.call("restore", "7", str(path)).returncode == 0
    assert path.read_bytes() == b"theirs\n"


def test_a_folder_and_back(sandbox: Sandbox) -> None:
    path = sandbox.etc / "a" / "b"
    assert sandbox.call("folder", "1", str(path), "750", *me()).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert sandbox.call("former_folder", "1", str(path)).returncode == 0
    assert not path.exists()


def test_a_folder_that_was_there_gets_its_mode_back(sandbox: Sandbox) -> None:
    path = sandbox.etc / "a"
    path.mkdir(mode=0o705)
    path.chmod(0o705)
    assert sandbox.call("folder", "1", str(path), "750", *me()).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert sandbox.call("former_folder", "1", str(path)).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o705


def test_a_folder_with_content_stays(sandbox: Sandbox) -> None:
    path = sandbox.etc / "vmail"
    assert sandbox.call("folder", "1", str(path), "750", *me()).returncode == 0
    (path / "mail").write_text("mail\n")
    assert sandbox.call("former_folder", "1", str(path)).returncode == 0
    assert (path / "mail").read_text() == "mail\n"


def test_a_folder_that_cannot_be_removed_now_is_not_forgotten(sandbox: Sandbox) -> None:
    path = sandbox.etc / "mailprov"
    path.mkdir()
    read_only = "rmdir() { return 1; }"
    assert sandbox.call("former_folder", "1", str(path), before=read_only).returncode != 0
    (path / "accounts").touch()
    assert sandbox.call("former_folder", "1", str(path), before=f"whole=yes; {read_only}").returncode == 0
    # What is in it may be ours: something could not be taken back.
    assert sandbox.call("former_folder", "1", str(path), before="whole=").returncode != 0
    (path / "accounts").unlink()
    assert sandbox.call("former_folder", "1", str(path), before="whole=").returncode == 0
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_a_folder_replaces_nothing(sandbox: Sandbox, kind: str) -> None:
    path = sandbox.etc / "a"
    if kind == "file":
        path.write_text("theirs\n")
    else:
        path.symlink_to(sandbox.root)
    before = state_of(path)
    done = sandbox.call("folder", "1", str(path), "750", *me())
    assert (done.returncode, state_of(path)) == (1, before)
    assert "is in the way" in done.stdout


def test_a_map_and_its_database_move_together(sandbox: Sandbox) -> None:
    path, new = sandbox.etc / "aliases", sandbox.transaction / "new"
    path.write_text("old\n")
    database = sandbox.etc / "aliases.db"
    before = state_of(path)
    (new / "1").write_text("new\n")
    (new / "1.db").write_bytes(b"new db")
    assert sandbox.call("put_map", "1", str(path), "640", *me()).returncode == 0
    assert (path.read_text(), database.read_bytes()) == ("new\n", b"new db")
    assert path.stat().st_mtime_ns == database.stat().st_mtime_ns, "postfix takes an older database for stale"
    assert sandbox.call("former_map", "1", str(path)).returncode == 0
    assert state_of(path) == before
    assert not database.exists()
    assert not sandbox.leftovers()


@pytest.mark.parametrize("target", ["elsewhere", "/nowhere"])
def test_a_link_in_a_databases_place_goes_and_comes_back(sandbox: Sandbox, target: str) -> None:
    database = sandbox.etc / "map.db"
    (sandbox.etc / "map").write_text("old OK\n")
    (sandbox.etc / "elsewhere").write_text("another's")
    database.symlink_to(target)
    for name in ("7", "7.db"):
        (sandbox.transaction / "new" / name).write_text("new OK\n")
    path = str(sandbox.etc / "map")
    done = sandbox.call("put_map", "7", path, "640", *me())
    assert (done.returncode, database.is_symlink(), database.read_text()) == (0, False, "new OK\n"), done.stderr
    assert sandbox.call("former_map", "7", path).returncode == 0
    assert (str(database.readlink()), (sandbox.etc / "map").read_text()) == (target, "old OK\n")
    assert (sandbox.etc / "elsewhere").read_text() == "another's"
    assert not sandbox.leftovers()


def test_in_a_rehearsal_nothing_is_kept(sandbox: Sandbox) -> None:
    path = sandbox.etc / "main.cf"
    path.write_text("old\n")
    (sandbox.transaction / "new" / "1").write_text("new\n")
    assert sandbox.call("put", "1", str(path), "644", *me(), before="REHEARSAL=yes").returncode == 0
    assert path.read_text() == "new\n"
    assert not list((sandbox.transaction / "old").iterdir())
