"""Sieve as it is declared: what holds, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from spec_tools import ENVIRON, NOW

from mailprov.declaration import load
from mailprov.declaration.filtering import MAX_SCRIPT
from mailprov.errors import SpecError
from mailprov.model import Sieve, Spec

SCRIPT = 'require "fileinto";\nif header :is "X-Spam" "Yes" { fileinto "Junk"; stop; }'


def declared(folder: Path, sieve: object, **more: Any) -> Spec:
    hosts = {name: {"address": f"192.0.2.{name[-1]}", "hostname": f"{name}.example.com"} for name in ("mail1", "mail2")}
    hosts["mail2"] |= more.pop("second", {})
    document = {
        "mailprov": 1,
        "hosts": hosts,
        "domains": [{"name": "example.com", "hosts": ["mail1", "mail2"]}],
        "users": [{"address": "alice@example.com", "aliases": ["postmaster@example.com"]}],
        "tls": {"self_signed": {}},
        "services": {"imap": True, "smtp": True},
        "sieve": sieve,
        **more,
    }
    (folder / "junk.sieve").write_text(SCRIPT)
    (folder / "empty.sieve").write_text(" \n")
    (folder / "binary.sieve").write_bytes(b"stop;\n\x00")
    (folder / "latin.sieve").write_bytes(b"# \xe4\n")
    (folder / "large.sieve").write_text("#" * (MAX_SCRIPT + 1))
    (folder / "mail.yaml").write_text(yaml.safe_dump(document))
    return load(folder / "mail.yaml", environ=ENVIRON, now=NOW)


def test_what_is_said_is_what_a_host_has(tmp_path: Path) -> None:
    before = {"before": {"file": "junk.sieve"}}
    for second, wanted in (
        ({}, Sieve(True, f"{SCRIPT}\n")),
        ({"sieve": True}, Sieve(True, f"{SCRIPT}\n")),
        ({"sieve": False}, Sieve(False, "")),
        ({"sieve": {"before": False}}, Sieve(True, "")),
    ):
        spec = declared(tmp_path, before, second=second)
        assert spec.hosts["mail1"].sieve == Sieve(True, f"{SCRIPT}\n")
        assert spec.hosts["mail2"].sieve == wanted
    assert declared(tmp_path, True).hosts["mail1"].sieve == Sieve(True)
    assert declared(tmp_path, False).hosts["mail1"].sieve == Sieve()


def test_a_script_that_no_host_runs_is_not_read(tmp_path: Path) -> None:
    spec = declared(tmp_path, True, groups={"later": {"sieve": {"before": {"file": "missing.sieve"}}}})
    assert {host.sieve for host in spec.hosts.values()} == {Sieve(True)}


def test_the_listener(tmp_path: Path) -> None:
    services = {"imap": True, "sieve": True}
    assert declared(tmp_path, True, services=services).hosts["mail1"].services.sieve == 4190
    spec = declared(tmp_path, True, services=services, second={"services": {"sieve": {"starttls": 2000}}})
    assert spec.hosts["mail2"].services.ports()[-1] == ("sieve", "starttls", 2000)
    spec = declared(tmp_path, True, services=services, second={"services": {"sieve": False}})
    assert spec.hosts["mail2"].services.sieve is None
    with pytest.raises(SpecError, match="users can put Sieve scripts on `mail2`, and none would run"):
        declared(tmp_path, True, services=services, second={"sieve": False, "services": {"sieve": True}})
    with pytest.raises(SpecError, match="none would run"):
        declared(tmp_path, False, services=services)


WRONG: tuple[tuple[object, str], ...] = (
    ("yes", "expected true or false or a mapping"),
    ({"before": True}, "which script is to run first is not said"),
    ({"before": "junk.sieve"}, "expected true or false or a mapping"),
    ({"before": {"env": "PW"}}, "env"),
    ({"before": {"file": "missing.sieve"}}, "missing.sieve"),
    ({"before": {"file": "empty.sieve"}}, "empty.sieve is empty"),
    ({"before": {"file": "binary.sieve"}}, "line 2 of binary.sieve has a control character"),
    ({"before": {"file": "latin.sieve"}}, "is not UTF-8"),
    ({"before": {"file": "large.sieve"}}, "large.sieve"),
    ({"before": {"file": "."}}, "."),
    ({"befor": {"file": "junk.sieve"}}, "did you mean `before`"),
)


@pytest.mark.parametrize(("sieve", "said"), WRONG, ids=str)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, sieve: object, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        declared(tmp_path, sieve)
    assert said in str(raised.value), str(raised.value)
    assert "mail.yaml:" in str(raised.value)


@pytest.mark.parametrize("wrong", [{"starttls": 0}, {"tls": 4190}, {}, "yes", {"starttls": True}, {"starttls": 25}])
def test_a_wrong_port_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(SpecError, match=r"mail\.yaml:"):
        declared(tmp_path, True, services={"imap": True, "smtp": True, "sieve": wrong})
