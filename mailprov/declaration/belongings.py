"""Which hosts a place in a declaration is about: so that a warning is shown where it belongs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence

from mailprov.declaration.source_file import SourceFile
from mailprov.errors import Origin
from mailprov.model import Alias, Domain, domain_of

Hosts = Collection[str] | None
"""None: about no host in particular"""


class Belongings:
    """The places at which something begins that is about some hosts, or about none in particular."""

    def __init__(
        self,
        files: Sequence[SourceFile],
        groups: Mapping[str, Sequence[str]],
        domains: Mapping[str, Domain],
        aliases: Sequence[Alias],
    ) -> None:
        found: dict[Origin, Hosts] = {}
        for source_file in files:
            found.update(_begun(source_file, groups))
        for domain in domains.values():
            if domain.origin is not None and not domain.hosted_by:
                found[domain.origin] = domain.hosts
        for alias in aliases:
            if alias.origin is not None and (served := domains.get(domain_of(alias.address))) is not None:
                found[alias.origin] = served.hosts
        self._hosts = found
        self._begun = sorted(found)

    def of(self, place: Origin) -> Hosts:
        """The hosts that what stands at `place` is about."""
        before = bisect_right(self._begun, place)
        nearest = self._begun[before - 1] if before else None
        return self._hosts[nearest] if nearest is not None and nearest.file == place.file else None


def _begun(source_file: SourceFile, groups: Mapping[str, Sequence[str]]) -> Iterator[tuple[Origin, Hosts]]:
    for key in source_file.document.root:
        yield source_file.origin(key, of_key=True), None
    for name in source_file.mapping("hosts"):
        yield source_file.origin("hosts", name, of_key=True), (name,)
    for name in source_file.mapping("groups"):
        yield source_file.origin("groups", name, of_key=True), groups.get(name) or None
