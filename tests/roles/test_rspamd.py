"""What rspamd is told, whole (UPDATE_GOLDEN=1 writes golden/ anew); and where it is there at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from simulated_host import declare

from mailprov.model import Facts, Key, KeyPair, Secret, State
from mailprov.resources import dkim_keys
from mailprov.resources.files import File
from mailprov.roles import mailhost, rspamd

GOLDEN = Path(__file__).parent / "golden/signed"
SIGNED = {"domains": [{"name": "example.com", "sign": True}, "example.org"]}
PAIRS = (
    KeyPair("example.com", "mail1-1", "signed"),
    KeyPair("example.com", "mail1-2", "signs"),
    KeyPair("example.org", "mail1-1", "retired"),
)


def facts(release: str, *pairs: KeyPair) -> Facts:
    return Facts("", release, 1, (22,), "2.3.19.1", 0, reported=pairs)


def desired(folder: Path, declared: dict[str, Any], told: Facts) -> State:
    spec = declare(folder, declared)
    return mailhost.desired(spec, spec.hosts["mail1"], told, lambda user: Secret(""))


def text(state: State, path: str) -> str:
    item = state[Key("file", path)]
    assert isinstance(item, File) and item.content is not None
    return item.content.decode()


@pytest.mark.parametrize("release", ["11", "12", "13"])
def test_text(release: str, tmp_path: Path) -> None:
    networks = {"outgoing": {"allow_from": ["10.8.0.0/24", "2001:db8::/64"]}, "services": {"smtp": True}}
    made = text(desired(tmp_path, {**SIGNED, **networks}, facts(release, *PAIRS)), rspamd.CONFIGURATION)
    path = GOLDEN / f"rspamd-{release}.conf"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")
    assert re.findall(r'selector = "(\S+)"', made) == ["mail1-2r", "mail1-2e"]


def test_it_is_there_where_a_domain_is_signed(tmp_path: Path) -> None:
    state = desired(tmp_path, SIGNED, facts("12", *PAIRS))
    assert Key("service", "rspamd") in state and Key("package", "rspamd") in state
    assert "smtpd_milters = unix:/run/rspamd/milter.sock" in text(state, "/etc/postfix/main.cf")
    assert mailhost.reads(rspamd.CONFIGURATION).services == ("rspamd",)
    assert mailhost.reads(rspamd.UNIT).services == ("systemd", "rspamd")


def test_keys_of_what_is_signed_no_more_are_seen_to(tmp_path: Path) -> None:
    state = desired(tmp_path, {}, facts("12", *PAIRS))
    assert Key("service", "rspamd") not in state
    assert "milter" not in text(state, "/etc/postfix/main.cf")
    uses = {key.name: item.pair.use for key, item in state.items() if isinstance(item, dkim_keys.DkimKey)}
    assert uses == {"example.com/mail1-1": "signed", "example.com/mail1-2": "signed", "example.org/mail1-1": "retired"}
    assert Key("file", f"{dkim_keys.FOLDER}/example.org") in state
