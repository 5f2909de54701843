"""What is done to services, with a systemctl that only says what it was told."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_sandbox import Sandbox

from mailprov.engine.plan import steps
from mailprov.model import Action, Change, Facts, Phase, Plan, Reason, Words
from mailprov.resources.files import File, text_file
from mailprov.resources.services import Service
from mailprov.standard import REGISTRY

DISABLE, STOP = "disable -q dovecot.service", "stop --no-block dovecot.service"
MASK, MASK_FOR_NOW = "mask -q dovecot.service", "mask -q --runtime dovecot.service"
SAYS = 'systemctl() { echo "$*"; }'


@pytest.mark.parametrize(
    ("former", "below", "boot", "told"),
    [
        ("enabled", "enabled", "", ["unmask -q dovecot.service", "enable -q dovecot.service"]),
        ("enabled", "enabled", "boot", ["unmask -q dovecot.service", "enable -q dovecot.service"]),
        ("disabled", "disabled", "", [DISABLE]),
        ("masked", "disabled", "", [DISABLE, MASK]),
        ("masked", "enabled", "", [MASK]),
        ("masked", "", "", [MASK]),
        ("masked-runtime", "enabled", "", [MASK_FOR_NOW]),
        ("masked-runtime", "disabled", "", [DISABLE, MASK_FOR_NOW]),
        ("disabled", "disabled", "boot", [DISABLE, STOP]),
        ("masked", "disabled", "boot", [DISABLE, MASK, STOP]),
        ("masked-runtime", "enabled", "boot", []),
        ("masked-runtime", "disabled", "boot", [DISABLE, STOP]),
    ],
)
def test_at_boot_what_is_disabled_again_is_not_started(
    tmp_path: Path, former: str, below: str, boot: str, told: list[str]
) -> None:
    """systemd has queued it by then: it was enabled when the boot began."""
    sandbox = Sandbox(tmp_path)
    sandbox.transaction.joinpath("old/7").write_text(f"{former}\n")
    if below:
        sandbox.transaction.joinpath("old/7.below").write_text(f"{below}\n")
    done = sandbox.call("former_enabling", "7", "dovecot", before=f"BOOT={boot}; {SAYS}")
    said = [line for line in done.stdout.splitlines() if not line.startswith(("reset-failed", "show"))]
    assert (done.returncode, said) == (0, told)


@pytest.mark.parametrize(("clock", "naps"), [("6", 0), ("4", 0), ("5", 22)], ids=["later", "set back", "stands still"])
def test_a_second_is_outlasted_whatever_the_clock_does(tmp_path: Path, clock: str, naps: int) -> None:
    before = f'date() {{ echo {clock}; }}; sleep() {{ echo "$1"; }}'
    done = Sandbox(tmp_path).call("outlast", "5", before=before)
    assert (done.returncode, done.stdout.split()) == (0, ["0.05"] * naps)


INSTALLED = {"dovecot-core": "1:2.3.19", "dovecot-imapd": "1:2.3.19"}
SPOKEN_OF = {"dovecot-pop3d": ("not-installed", ""), "dovecot-lmtpd": ("config-files", "1:2.3.13")}


@pytest.mark.parametrize(
    ("now", "restarted"),
    [
        (INSTALLED, False),
        (INSTALLED | {"dovecot-pop3d": "1:2.3.19"}, False),
        (INSTALLED | {"dovecot-lmtpd": "1:2.3.19"}, False),
        (INSTALLED | {"dovecot-core": "1:2.3.21"}, True),
        ({"dovecot-core": "1:2.3.19"}, True),
    ],
    ids=["nothing", "one that was spoken of", "one that was removed", "an upgrade", "one that goes"],
)
def test_only_what_is_upgraded_is_restarted(tmp_path: Path, now: dict[str, str], restarted: bool) -> None:
    """Of packages that are not installed, dpkg-query tells, too: they are no former version of what comes."""
    rows = [f"installed {name}={version}" for name, version in INSTALLED.items()]
    rows += [f"{state} {name}={version}" for name, (state, version) in SPOKEN_OF.items()]
    sandbox = Sandbox(tmp_path)
    told, program = tmp_path / "told", tmp_path / "dpkg-query"
    program.write_text(f'#!/bin/sh\ncase "$*" in *dovecot*) cat {told} ;; esac\n')
    program.chmod(0o755)
    stubs = f'PATH={tmp_path}:$PATH; running() {{ :; }}; again() {{ echo "again $1"; }}'
    told.write_text("\n".join([*rows, ""]))
    sandbox.call("eval", 'versions >"$T/old/1.versions"; echo dovecot >"$T/up"', before=stubs)
    told.write_text("".join(f"installed {name}={version}\n" for name, version in now.items()))
    done = sandbox.call("refresh", "1", before=stubs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "again dovecot\n" if restarted else "", "")


@pytest.mark.parametrize(
    ("ran", "runs", "boot", "told"),
    [
        (True, False, "", ["daemon-reload", "again rspamd"]),
        (True, True, "", []),
        (False, False, "", []),
        (True, False, "boot", []),
    ],
    ids=["stopped", "not yet stopped", "never ran", "at boot"],
)
def test_who_is_asked_runs_again_with_its_own_unit(
    tmp_path: Path, ran: bool, runs: bool, boot: str, told: list[str]
) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.transaction.joinpath("up").write_text("rspamd\n" if ran else "postfix\n")
    stubs = f'BOOT={boot}; {SAYS}; running() {{ {str(runs).lower()}; }}; again() {{ echo "again $1"; }}'
    done = sandbox.call("stand_up", "rspamd", before=stubs)
    assert (done.returncode, done.stdout.splitlines()) == (0, told)


def test_who_is_asked_does_not_run_again_before_its_files_are_back(tmp_path: Path) -> None:
    """With the unit of its package it would do something else."""
    sandbox = Sandbox(tmp_path)
    sandbox.transaction.joinpath("up").write_text("rspamd\n")
    done = sandbox.call(
        "stand_up", "rspamd", before=f"whole=; {SAYS}; running() {{ false; }}; again() {{ echo again; }}"
    )
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(("reverts", "last", "so"), [(False, "", 0), (True, "", 1), (True, "rspamd\n", 0)])
def test_what_a_step_has_stopped_runs_on_after_its_undo(tmp_path: Path, reverts: bool, last: str, so: int) -> None:
    """So it is restarted where it runs with another unit; what the undo itself stops is not."""
    sandbox = Sandbox(tmp_path)
    sandbox.transaction.joinpath("steps").write_text("12\tdo\tstand_down\t12\trspamd\tdisabled\n")
    sandbox.transaction.joinpath("last").write_text(last)
    stubs = f"TAB=$(printf '\\t'); happened() {{ {str(reverts).lower()}; }}"
    assert sandbox.call("ends", "rspamd", before=stubs).returncode == so


def test_who_is_asked_runs_again_between_its_files_and_those_that_name_it() -> None:
    """An undo goes backwards: with its own files in place it runs, and only then is it named."""
    gone: list[File | Service] = [text_file(path, "") for path in ("/etc/rspamd.conf", "/etc/unit.conf")]
    gone.append(Service("rspamd"))
    changes = [Change(item.key, Action.REMOVE, Reason.PENDING, item, None, Words("")) for item in gone]
    names = text_file("/etc/main.cf", "", late=True)
    changes.append(Change(names.key, Action.UPDATE, Reason.PENDING, names, names, Words("")))
    plan = Plan("mail1", Facts("", "12", 0, (), "", 0), {}, tuple(changes), {}, (), "")
    made = [(step.phase, step.undo[0], step.undo[-1]) for step in steps(REGISTRY, plan)]
    assert made == [
        (Phase.COMMIT, "restore", "/etc/main.cf"),
        (Phase.COMMIT, "stand_up", "rspamd"),
        (Phase.COMMIT, "restore", "/etc/rspamd.conf"),
        (Phase.COMMIT, "restore", "/etc/unit.conf"),
        (Phase.ACTIVATE, "former_enabling", "rspamd"),
    ]


def test_nobody_comes_while_dovecot_restarts(tmp_path: Path) -> None:
    """Who wants to log in at Postfix then would have it leave that port alone for a minute."""
    stubs = f'{SAYS}; unit() {{ echo "$1.service"; }}; running() {{ :; }}; sleep() {{ :; }}; paid() {{ :; }}'
    for name in ("hold_back", "let_in", "hand_over_again"):
        stubs += f"; {name}() {{ echo {name} $*; }}"
    done = Sandbox(tmp_path).call("activate", "dovecot", "restart", before=stubs)
    said = [line for line in done.stdout.splitlines() if "auth" not in line]
    assert said == ["hold_back 100", "restart dovecot.service", "let_in", "hand_over_again"], done


@pytest.mark.parametrize("act", [("stop", "rspamd"), ("stand_down", "7", "rspamd", "disabled", "disabled", "", "")])
def test_who_is_just_sending_is_let_finish(tmp_path: Path, act: tuple[str, ...]) -> None:
    """A session that began before Postfix was told asks rspamd to its end: without it, it would be put off."""
    sessions = tmp_path / "sessions"
    sessions.write_text("u_str 0 0 /run/rspamd/milter.sock 71 * 72\nu_str 0 0 /run/rspamd/control.sock 73 * 74\n")
    stubs = (
        f"{SAYS}; ss() {{ cat {sessions}; }}; sleep() {{ echo waits; sed -i 1d {sessions}; }}; running() {{ false; }}"
    )
    done = Sandbox(tmp_path).call(*act, before=f"{stubs}; noted() {{ :; }}; unit() {{ echo x; }}")
    said = [line for line in done.stdout.splitlines() if line == "waits" or line.startswith("stop ")]
    assert said == ["waits", "stop rspamd.service"], done
