"""What the host does with a Sieve script and its binary, and how that is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_sandbox import Sandbox, me


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def staged(sandbox: Sandbox, text: str) -> str:
    new = sandbox.transaction / "new"
    (new / "1").write_text(text)
    (new / "1.svbin").write_text(f"binary of {text}")
    return str(sandbox.etc / "before.sieve")


def there(sandbox: Sandbox) -> dict[str, str]:
    return {path.name: path.read_text() for path in sandbox.etc.iterdir()}


def test_a_script_comes_with_a_newer_binary_and_goes_with_it(sandbox: Sandbox) -> None:
    path = staged(sandbox, "stop;\n")
    done = sandbox.call("put_script", "1", path, "640", *me())
    assert done.returncode == 0, done.stderr
    text, binary = sandbox.etc / "before.sieve", sandbox.etc / "before.svbin"
    assert there(sandbox) == {"before.sieve": "stop;\n", "before.svbin": "binary of stop;\n"}
    assert binary.stat().st_mtime > text.stat().st_mtime, "else each delivery compiles it anew"
    assert sandbox.call("former_script", "1", path).returncode == 0
    assert there(sandbox) == {}


@pytest.mark.parametrize("binary", [True, False])
def test_what_was_there_comes_back(sandbox: Sandbox, binary: bool) -> None:
    (sandbox.etc / "before.sieve").write_text("keep;\n")
    if binary:
        (sandbox.etc / "before.svbin").write_text("old")
    before = there(sandbox)
    path = staged(sandbox, "stop;\n")
    for do in (("put_script", "1", path, "640", *me()), ("drop_script", "1", path)):
        assert sandbox.call(*do).returncode == 0
        assert there(sandbox) != before
        assert sandbox.call("former_script", "1", path).returncode == 0
        assert there(sandbox) == before


def test_nothing_is_put_into_the_place_of_a_folder(sandbox: Sandbox) -> None:
    (sandbox.etc / "before.svbin").mkdir()
    path = staged(sandbox, "stop;\n")
    done = sandbox.call("put_script", "1", path, "640", *me())
    assert done.returncode != 0 and "in the way" in done.stdout
    assert not (sandbox.etc / "before.sieve").exists()


def test_a_kept_script_is_put_back_with_its_binary(sandbox: Sandbox) -> None:
    kept = sandbox.root / "kept"
    kept.write_text("keep;\n")
    (sandbox.root / "kept.svbin").write_text("its binary")
    path = str(sandbox.etc / "before.sieve")
    digest = sandbox.call("digest", str(kept)).stdout.strip()
    assert sandbox.call("take_script", "1", str(kept), "0" * 64, path).returncode != 0
    assert sandbox.call("take_script", "1", str(kept), digest, path).returncode == 0
    assert sandbox.call("put_back_script", "1", path).returncode == 0
    assert there(sandbox) == {"before.sieve": "keep;\n", "before.svbin": "its binary"}
