"""The shell that travels to hosts: put together from what is registered, and without its comments."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from mailprov import assets

PACKAGE = Path(str(files("mailprov")))
SCRIPTS = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.sh"))
WHOLE = {"engine/transaction.sh", "engine/test_account.sh", "workflows/purge.sh"}
"""scripts that do something when they are read; the others are functions only"""


def functions(text: str) -> str:
    """Its functions, as bash has understood them."""
    script = f'{text}\ndeclare -f; echo "${{MAIL_TREE-}}${{SMTP-}}"'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path not in WHOLE])
def test_without_its_comments_it_does_the_same(path: str) -> None:
    whole = (PACKAGE / path).read_text(encoding="utf-8")
    assert functions(assets.script(path)) == functions(whole)
    assert "#" not in [line.lstrip()[:1] for line in assets.script(path).splitlines()]


@pytest.mark.parametrize("path", sorted(WHOLE))
def test_what_does_something_is_the_same_but_for_comments(path: str) -> None:
    whole = (PACKAGE / path).read_text(encoding="utf-8").splitlines()
    lines = [line for line in whole if line.strip() and not line.lstrip().startswith("#")]
    assert assets.script(path).split("\n")[:-1] == lines


def test_what_is_not_there_is_nothing() -> None:
    assert assets.script("resources/certificates/no-such.sh") == ""


def test_only_the_account_store_knows_where_accounts_are_and_what_their_fields_mean() -> None:
    store = "resources/accounts/"
    # What a comment tells nobody acts on.
    others = {path: assets.script(path) for path in SCRIPTS if not path.startswith(store)}
    for word in ("dovecot/mailprov/accounts", "dovecot/mailprov/verify", "initial", "managed:", "allow_nets"):
        assert [path for path, text in others.items() if word in text] == []
        assert word in assets.script(f"{store}store.sh")
