"""What the host does with the keys that sign mail, and how that is taken back."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from shell_sandbox import Sandbox

OWN = 'place() { cp -- "$1" "$2" && chmod "$3" -- "$2"; }; chown() { :; }'
"""as whoever runs the tests: nobody else's group is there"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def call(sandbox: Sandbox, *command: str) -> str:
    done = sandbox.call(*command, before=OWN)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(sandbox.etc / "mail1-1")


def made(sandbox: Sandbox) -> str:
    call(sandbox, "make_key", "1")
    path = str(sandbox.etc / "mail1-1")
    call(sandbox, "put_key", "1", path)
    return path


def there(sandbox: Sandbox) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sandbox.etc.iterdir()}


def note(sandbox: Sandbox) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in (sandbox.etc / "mail1-1.txt").read_text().splitlines()}


def test_a_pair_is_what_its_note_says(sandbox: Sandbox) -> None:
    made(sandbox)
    found, said = there(sandbox), note(sandbox)
    assert sorted(found) == ["mail1-1.ed25519", "mail1-1.rsa", "mail1-1.txt"]
    assert said["use"][0] == "waits"
    for of in ("rsa", "ed25519"):
        assert said[of][0] == hashlib.sha256(found[f"mail1-1.{of}"]).hexdigest()
    rsa = load_pem_private_key(found["mail1-1.rsa"], None)
    assert isinstance(rsa, RSAPrivateKey) and rsa.key_size == 2048
    shown = rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode(said["rsa"][1]) == shown
    both = base64.b64decode(found["mail1-1.ed25519"], validate=True)
    assert len(both) == 64
    own = Ed25519PrivateKey.from_private_bytes(both[:32]).public_key()
    assert own.public_bytes(Encoding.Raw, PublicFormat.Raw) == both[32:] == base64.b64decode(said["ed25519"][1])
    assert not [path.name for path in (sandbox.transaction / "new").iterdir() if path.name.endswith(".pem")]


def test_it_goes_again_if_it_was_not_there(sandbox: Sandbox) -> None:
    path = made(sandbox)
    call(sandbox, "former_key", "1", path)
    assert there(sandbox) == {}


@pytest.mark.parametrize("use", ["signs", "signed", "retired"])
def test_each_use_and_back(sandbox: Sandbox, use: str) -> None:
    path = made(sandbox)
    before = there(sandbox)
    call(sandbox, "use_key", "2", path, use)
    said = note(sandbox)
    assert said["use"][0] == use and {"rsa", "ed25519"} < said.keys()
    assert ("mail1-1.rsa" in there(sandbox)) is (use != "retired")
    call(sandbox, "former_key", "2", path)
    assert there(sandbox) == before


def test_the_same_use_again_begins_no_time_anew(sandbox: Sandbox) -> None:
    path = made(sandbox)
    text = re.sub("use waits [0-9]+", "use waits 17", Path(f"{path}.txt").read_text())
    Path(f"{path}.txt").write_text(text)
    call(sandbox, "use_key", "2", path, "waits")
    assert Path(f"{path}.txt").read_text() == text


def test_a_roll_back_puts_back_what_was_kept(sandbox: Sandbox) -> None:
    path = made(sandbox)
    before = there(sandbox)
    call(sandbox, "use_key", "2", path, "retired")
    kept = sandbox.root / "kept"
    (sandbox.transaction / "old").rename(kept)
    (sandbox.transaction / "old").mkdir()
    retired = there(sandbox)
    call(sandbox, "take_key", "3", str(kept / "2"))
    call(sandbox, "put_back_key", "3", path)
    assert there(sandbox) == before
    call(sandbox, "former_key", "3", path)
    assert there(sandbox) == retired


@pytest.mark.parametrize("half", ["txt", "rsa", "ed25519"])
def test_nothing_is_put_into_the_place_of_a_folder(sandbox: Sandbox, half: str) -> None:
    (sandbox.etc / f"mail1-1.{half}").mkdir()
    call(sandbox, "make_key", "1")
    done = sandbox.call("put_key", "1", str(sandbox.etc / "mail1-1"), before=OWN)
    assert done.returncode != 0 and "in the way" in done.stdout
    assert [path.name for path in sandbox.etc.iterdir()] == [f"mail1-1.{half}"]
