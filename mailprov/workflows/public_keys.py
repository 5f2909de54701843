"""The public halves of the keys that hosts have made to sign with: DNS has to have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mailprov.connection import Host
from mailprov.engine import probe
from mailprov.errors import MailprovError
from mailprov.model import HostSpec, KeyPair, Spec
from mailprov.observer import Observer
from mailprov.standard import REGISTRY
from mailprov.workflows.session import each
from mailprov.workflows.survey import ask


def public_keys(
    spec: Spec, domains: Collection[str], observer: Observer
) -> tuple[Mapping[str, Sequence[KeyPair] | str], list[MailprovError]]:
    """By host, the keys of those hosts that sign mail from these domains, or why they are not known; and the errors."""
    signed = [domain for name, domain in spec.domains.items() if name in domains and domain.sign]
    chosen = [spec.hosts[name] for name in dict.fromkeys(name for domain in signed for name in domain.hosts)]
    found: dict[str, Sequence[KeyPair] | str] = dict.fromkeys((host.name for host in chosen), "it could not be asked")
    script = probe.script(REGISTRY, [query for kind in REGISTRY.reporters for query in kind.queries(())])

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        found[declared.name] = REGISTRY.reported(REGISTRY.live(ask(host, script).sections))

    return found, each(spec, chosen, look, observer)
