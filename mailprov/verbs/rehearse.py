"""mailprov rehearse."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from mailprov.dangers import FLAGS
from mailprov.errors import Exit, HostError, MailprovError
from mailprov.lab import Lab, LabHost
from mailprov.model import HostSpec, Spec, Ssh
from mailprov.report.text import Line
from mailprov.survey import survey
from mailprov.verbs import apply, console, verify
from mailprov.verbs.handing import Handing
from mailprov.verbs.session import hosts, load, session, worst


def rehearse(file: Path, limit: Sequence[str], release: str, *, keep: bool) -> Exit:
    """Boot, apply, verify, plan again, throw away; exit 9 when a host does not verify, 7 when some failed."""
    spec = load(file)
    chosen = hosts(spec, limit)
    failures: list[MailprovError] = []
    with Lab(progress=lambda text: console.say(f"  {text}", "dim")) as lab:
        for declared in chosen:
            console.say(f"{declared.name}: booting a disposable {release}")
            machine = lab.boot(declared.name, release)
            standin = disposable(declared, machine)
            _supply_certificate(standin, machine)
            try:
                one(replace(spec, hosts={declared.name: standin}), standin)
            except MailprovError as error:
                error.where = error.where or declared.name
                failures.append(error)
                console.say(f"Error: {error}", "bad")
            if keep:
                login = (
                    f"ssh -i {machine.identity_file} -o UserKnownHostsFile={machine.known_hosts} root@{machine.address}"
                )
                console.say(f"  {declared.name} stays up: {login}", "head")
        if keep:
            _wait()
    return worst(failures, len(chosen))


def _wait() -> None:
    if sys.stdin.isatty():
        click.pause("Press Enter to throw the hosts away", err=True)
        return
    with suppress(KeyboardInterrupt):
        console.say("the hosts stay until this is interrupted (Ctrl-C, SIGTERM)", "head")
        signal.pause()


def disposable(declared: HostSpec, machine: LabHost) -> HostSpec:
    """The declared host, reached where the disposable one is."""
    ssh = Ssh(
        user=machine.user, port=machine.port, identity_file=machine.identity_file, known_hosts=machine.known_hosts
    )
    return replace(declared, address=machine.address, ssh=ssh, become=False, become_password=None)


def one(spec: Spec, standin: HostSpec) -> None:
    """Apply, verify and plan again on one disposable host. Raises what these raise, and HostError for a plan that is
    not empty after the apply."""
    with session(standin) as host:
        found = survey(spec, standin, host)
        apply.one(found, spec, standin, host, apply.Consent(yes=True, flags=frozenset(FLAGS)), Handing(None))
    checks = verify.one(spec, standin, verify.How(), live=True)
    verify.require(standin.name, checks)
    with session(standin) as host:
        again = survey(spec, standin, host).plan
    if not again.empty:
        left = ", ".join(str(change.key) for change in again.changes)
        raise HostError("the plan after the apply is not empty", where=standin.name, why=left)
    console.show([Line(f"{standin.name}  rehearsed: applied, verified, and a second plan is empty", "good")])


def _supply_certificate(standin: HostSpec, machine: LabHost) -> None:
    """A certificate that something else keeps on the real host is not here: make a stand-in where it would be."""
    tls = standin.tls
    if tls.source != "on_host":
        return
    for path in (tls.certificate_path, tls.key_path):
        machine.run(("mkdir", "-p", str(Path(path).parent)))
    request = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", f"/CN={standin.hostname}", "-addext", f"subjectAltName=DNS:{standin.hostname}")
    machine.run((*request, "-days", "30", *names, "-keyout", tls.key_path, "-out", tls.certificate_path))
