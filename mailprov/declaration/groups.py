"""Groups of hosts: what holds for each of them, between the top level and the host's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mailprov.declaration import addresses, layers
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, abridged, brief, meant
from mailprov.declaration.settings import Layer, merged_layers
from mailprov.declaration.source_file import SourceFile
from mailprov.errors import Origin

MAX_DEPTH: Final = 20
"""groups in a row, each the parent of the next"""


@dataclass(frozen=True, slots=True)
class Groups:
    """What a declaration says about groups."""

    defaults: Layer
    """what holds for hosts without a group"""
    layers: Mapping[str, Layer]
    """group → what holds for its hosts, before they say anything themselves"""
    group_of: Mapping[str, str]
    """host → its group"""
    members: Mapping[str, tuple[str, ...]]
    """group → its hosts and those of the groups below it"""
    clear: bool
    """false where faults hide which hosts belong to which group"""

    def below(self, host: str) -> Layer:
        """What a host's own words are laid over."""
        name = self.group_of.get(host)
        if name is not None:
            return self.layers[name]
        return self.defaults if self.clear else replace(self.defaults, sound=False)


def groups(
    main: SourceFile, hosts: Mapping[str, Origin], defaults: Layer, diagnostics: Diagnostics, references: Diagnostics
) -> Groups:
    """Every group in the `main` file, for the `hosts` that are declared at these places.

    What is wrong goes to the `diagnostics`, hosts that nobody declared to `references`.
    """
    reader = _GroupReader(main, diagnostics)
    clear = reader.read_names(hosts)
    group_of = reader.group_of(hosts, references)
    own_hosts: dict[str, list[str]] = {}
    for host, group in group_of.items():
        own_hosts.setdefault(group, []).append(host)
    chains = reader.chains()
    merged: dict[str, Layer] = {}
    members: dict[str, list[str]] = {name: [] for name in reader.nodes}
    for name, chain in chains.items():
        below = defaults if chain.sound else replace(defaults, sound=False)
        for above in reversed(chain.names):
            if above not in merged:
                own = layers.layer(main, ("groups", above), reader.nodes[above], f"group {above}", diagnostics)
                merged[above] = merged_layers(below, own)
            below = merged[above]
            members[above] += own_hosts.get(name, ())
    reader.tell_empty(chains)
    return Groups(defaults, merged, group_of, {name: tuple(found) for name, found in members.items()}, clear)


@dataclass(frozen=True, slots=True)
class _Chain:
    names: tuple[str, ...]
    """a group, its parent, that one's parent, and so on"""
    sound: bool
    """false where it does not end: complained about"""


class _GroupReader:
    def __init__(self, main: SourceFile, diagnostics: Diagnostics) -> None:
        self.main = main
        self.diagnostics = diagnostics
        self.nodes: dict[str, Mapping[str, Any]] = {}

    def read_names(self, hosts: Mapping[str, Origin]) -> bool:
        """Read which groups there are; whether all of them can be understood."""
        clear = self.main.usable("groups")
        spelled = {host.lower(): (f"a host, at {place}", "call one of them") for host, place in hosts.items()}
        for name, node in self.main.mapping("groups").items():
            place = self.main.origin("groups", name, of_key=True)
            try:
                addresses.key(name, "group")
            except InvalidValue as wrong:
                self.diagnostics.refuse(place, wrong)
                clear = False
                continue
            if name.lower() in spelled:
                known, fix = spelled[name.lower()]
                self.diagnostics.complain(place, f"`{name}` is the name of {known}", f"{fix} something else")
                clear = False
                continue
            spelled[name.lower()] = f"a group, at {place}", "call one of them"
            self.nodes[name] = node if isinstance(node, Mapping) else {}
        return clear

    def group_of(self, hosts: Mapping[str, Origin], references: Diagnostics) -> dict[str, str]:
        """The group of each host that is in one."""
        found: dict[str, tuple[str, Origin]] = {}
        for name, node in self.nodes.items():
            if not self.main.usable("groups", name, "hosts"):
                continue
            for number, host in enumerate(node.get("hosts", ())):
                place = self.main.origin("groups", name, "hosts", number)
                if host not in hosts:
                    what = f"the host `{brief(host)}` of the group `{name}` is not declared"
                    fix = meant(host, hosts)
                    if host in self.nodes:
                        what = f"`{host}` is a group, not a host"
                        fix = f"a group is put into another by its own `parent`: {host}: {{parent: {name}}}"
                    references.complain(place, what, fix or "add it to `hosts`")
                elif host in found:
                    other, there = found[host]
                    what = f"the host `{host}` is in the group `{other}` already, at {there}"
                    self.diagnostics.complain(
                        place, what, "keep it in one; a `parent` lets groups share what they have"
                    )
                else:
                    found[host] = name, place
        return {host: group for host, (group, _) in found.items()}

    def chains(self) -> dict[str, _Chain]:
        """Each group with its parents."""
        parents = self._parents()
        circles = {name: circle for circle in _circles(parents) for name in circle}
        for circle in dict.fromkeys(circles.values()):
            what = "these groups lead in a circle: " + " → ".join(abridged([*circle, circle[0]]))
            place = self.main.origin("groups", circle[0], "parent")
            self.diagnostics.complain(place, what, "let one of them have no `parent`")
        found: dict[str, _Chain] = {}
        for name in self.nodes:
            chain = [name]
            while (above := parents.get(chain[-1])) and above not in chain and len(chain) <= MAX_DEPTH:
                chain.append(above)
            ends = above is None and not any(self._lost(each, parents) for each in chain)
            if len(chain) > MAX_DEPTH and not circles:
                what = f"more than {MAX_DEPTH} groups, each the parent of the next"
                self.diagnostics.complain(self.main.origin("groups", name, "parent"), what, "use fewer")
                chain, ends = [name], False
            found[name] = _Chain(tuple(chain), ends)
        return found

    def _lost(self, name: str, parents: Mapping[str, str]) -> bool:
        """Whether the group should have a parent, and has none that can be understood."""
        return "parent" in self.nodes[name] and name not in parents

    def _parents(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, node in self.nodes.items():
            if "parent" not in node or not self.main.usable("groups", name, "parent"):
                continue
            if node["parent"] in self.nodes:
                found[name] = node["parent"]
                continue
            what = f"the group `{name}` has the parent `{brief(node['parent'])}`, which is no group"
            fix = meant(node["parent"], self.nodes) or "add it to `groups`, or leave `parent` out"
            self.diagnostics.complain(self.main.origin("groups", name, "parent"), what, fix)
        return found

    def tell_empty(self, chains: Mapping[str, _Chain]) -> None:
        """Warn of groups that neither name a host nor are the parent of one that does."""
        filled = {above for name, chain in chains.items() if self._names_hosts(name) for above in chain.names}
        for name in self.nodes.keys() - filled:
            place = self.main.origin("groups", name, of_key=True)
            self.diagnostics.warn(place, f"the group `{name}` has no hosts", f"{name}: {{hosts: […]}}")

    def _names_hosts(self, name: str) -> bool:
        return bool(self.nodes[name].get("hosts")) or not self.main.usable("groups", name, "hosts")


def _circles(parents: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """The circles among groups, each once, from its first group on."""
    done: set[str] = set()
    for start in parents:
        trail: dict[str, None] = {}
        name: str | None = start
        while name is not None and name not in done and name not in trail:
            trail[name] = None
            name = parents.get(name)
        if name in trail:
            names = list(trail)
            yield tuple(names[names.index(name) :])
        done.update(trail)
