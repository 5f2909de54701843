"""A declared host rehearsed on a disposable one: applied, verified, planned again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mailprov.checks import Check
from mailprov.engine.rollout import HostStatus, Result
from mailprov.errors import HostError
from mailprov.lab import LabHost
from mailprov.model import HostSpec, Spec, Ssh
from mailprov.observer import Ended, Observer, Planned
from mailprov.workflows import verify
from mailprov.workflows.generated_passwords import GeneratedPasswords
from mailprov.workflows.host_run import with_passwords
from mailprov.workflows.run_plan import run_plan
from mailprov.workflows.session import session
from mailprov.workflows.survey import survey


def rehearse(
    spec: Spec,
    declared: HostSpec,
    machine: LabHost,
    observer: Observer,
    begun: Callable[[str], None],
    seen: Callable[[Sequence[Check]], None],
    afterwards: Callable[[Spec, HostSpec], None] | None = None,
) -> None:
    """Apply, verify and plan again on one disposable host; `seen` is told what a client found. What is to be done
    `afterwards` gets the declaration with the passwords that the host has, and the host.

    Raises what these raise, and HostError for a plan that is not empty after the apply.
    """
    standin = disposable(declared, machine)
    _supply_certificate(standin, machine)
    spec = replace(spec, hosts={declared.name: standin})
    with session(standin) as host:
        plan = survey(spec, standin, host)
        observer.tell(Planned([plan.plan]))
        spec = GeneratedPasswords(None, observer).supply(spec, [plan.plan])
        began = time.monotonic()
        run_plan(with_passwords(plan, spec, standin), spec, standin, host, observer)
        done = Result(standin.name, HostStatus.APPLIED, len(plan.plan.changes), time.monotonic() - began)
        observer.tell(Ended(done, plan=plan.plan))
    checks = verify.verify(spec, standin, verify.Login(), observer, begun)
    seen(checks)
    verify.require(standin.name, checks)
    with session(standin) as host:
        again = survey(spec, standin, host).plan
    if not again.empty:
        left = ", ".join(str(change.key) for change in again.changes)
        raise HostError("the plan after the apply is not empty", where=standin.name, why=left)
    if afterwards is not None:
        afterwards(spec, standin)


def disposable(declared: HostSpec, machine: LabHost) -> HostSpec:
    """The declared host, reached where the disposable one is."""
    ssh = Ssh(
        user=machine.user, port=machine.port, identity_file=machine.identity_file, known_hosts=machine.known_hosts
    )
    return replace(declared, address=machine.address, ssh=ssh, become=False, become_password=None)


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
