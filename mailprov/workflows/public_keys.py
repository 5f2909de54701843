"""The public halves of the keys that hosts have made to sign with: DNS has to have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mailprov.connection import Host
from mailprov.engine import probe
from mailprov.errors import MailprovError, SpecError
from mailprov.model import HostSpec, KeyPair, Spec
from mailprov.observer import Observer
from mailprov.standard import REGISTRY
from mailprov.workflows.session import each
from mailprov.workflows.survey import ask


def signers(spec: Spec, domains: Collection[str]) -> list[HostSpec]:
    """The hosts that sign mail from any of these domains."""
    signed = [domain for name, domain in spec.domains.items() if name in domains and domain.sign]
    return [spec.hosts[name] for name in dict.fromkeys(name for domain in signed for name in domain.hosts)]


def public_keys(
    spec: Spec, chosen: Sequence[HostSpec], observer: Observer
) -> tuple[Mapping[str, Sequence[KeyPair] | str], list[MailprovError]]:
    """By host, the keys of these hosts, or why they are not known; and the errors."""
    found: dict[str, Sequence[KeyPair] | str] = {}
    script = probe.script(REGISTRY, [query for kind in REGISTRY.reporters for query in kind.queries(())])

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        found[declared.name] = REGISTRY.reported(REGISTRY.live(ask(host, script).sections))

    failures = each(spec, chosen, look, observer)
    return {**found, **{error.host: _why(error) for error in failures}}, failures


def _why(error: MailprovError) -> str:
    """In a few words."""
    return error.errors[0].what if isinstance(error, SpecError) and error.errors else error.what
