"""The public halves of the keys that hosts have made to sign with: DNS has to have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mailprov.connection import Host
from mailprov.engine import probe
from mailprov.errors import MailprovError, SpecError
from mailprov.model import HostSpec, KeyPair, Spec
from mailprov.observer import Observer
from mailprov.standard import REGISTRY
from mailprov.workflows.secrets import EVERY, NOTHING, SESSION
from mailprov.workflows.selection import confined, load, tell_lacking
from mailprov.workflows.session import each
from mailprov.workflows.survey import ask


def load_signing(file: Path, observer: Observer) -> Spec:
    """The declaration, with what opens sessions where hosts will be asked for their keys, and no secret elsewhere.

    Raises as `load`.
    """
    spec = load(file, NOTHING)
    if any(domain.sign for domain in spec.domains.values()) and not confined():
        return load(file, SESSION, observer)
    tell_lacking(spec, EVERY, observer)
    return spec


def signers(spec: Spec, domains: Collection[str]) -> list[HostSpec]:
    """The hosts that sign mail from any of these domains."""
    signed = [domain for name, domain in spec.domains.items() if name in domains and domain.sign]
    return [spec.hosts[name] for name in dict.fromkeys(name for domain in signed for name in domain.hosts)]


def public_keys(
    spec: Spec, chosen: Sequence[HostSpec], observer: Observer
) -> tuple[Mapping[str, Sequence[KeyPair] | str], list[MailprovError]]:
    """By host, the keys of these hosts, or why they are not known; and the errors."""
    found: dict[str, Sequence[KeyPair] | str] = {}
    script = probe.script(REGISTRY, REGISTRY.report_queries)

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        found[declared.name] = REGISTRY.reported(ask(host, script).sections)

    failures = each(spec, chosen, look, observer)
    return {**found, **{error.host: _why(error) for error in failures}}, failures


def _why(error: MailprovError) -> str:
    """In a few words."""
    return error.errors[0].what if isinstance(error, SpecError) and error.errors else error.what
