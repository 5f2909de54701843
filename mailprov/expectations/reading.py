"""From YAML text to expectations, by the declaration's own reader: every complaint at once, each with its place (pure).

The text is hostile until proven otherwise, as that of a declaration is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from mailprov import assets
from mailprov.declaration import addresses, values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.positions import Document, Map
from mailprov.declaration.schema_check import MAX_PROBLEMS, problems_in
from mailprov.declaration.schema_messages import Path
from mailprov.declaration.yamltext import read_on
from mailprov.errors import Diagnostic, ExpectationsError, SpecError
from mailprov.expectations.model import (
    AnExpectation,
    Delivery,
    Limit,
    Login,
    PlanLimit,
    Port,
    Records,
)
from mailprov.expectations.networks import EVERYWHERE, Sources, sources
from mailprov.expectations.record_texts import record_name, value_fault
from mailprov.expectations.work import Work
from mailprov.model import PROTOCOLS, Spec, domain_of

SCHEMA: Final = "expectations.schema.json"
MAX_BYTES: Final = 256 * 1024
"""of one file"""
MAX_EXPECTATIONS: Final = 1000
"""in one file"""
MAX_VALUES: Final = 50_000
"""texts, numbers, lists and mappings in one file, aliases followed"""

_OF_CHANGES: Final = ("kind", "name", "action")
_BELONGS: Final[Mapping[str, tuple[str, ...]]] = {
    "changes": _OF_CHANGES,
    "drift": _OF_CHANGES,
    "consents": ("flag",),
    "quota": ("user",),
    "accounts": ("user",),
}
"""which of the keys that narrow a limit belong to which"""


@cache
def document() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a file of expectations. Treat it as read-only: there is one per process."""
    loaded: dict[str, Any] = json.loads(assets.text("schemas", SCHEMA))
    return loaded


def read(text: str, file: str, spec: Spec) -> tuple[AnExpectation, ...]:
    """The expectations in `text`, in file order; `file` is what its places are called, `spec` what is expected of.

    Raises ExpectationsError with every complaint, each with its place: of the YAML, of the schema, of the meaning of
    values, of hosts and domains that are not declared.
    """
    diagnostics = Diagnostics()
    try:
        found = read_on(text, file)
        diagnostics.errors.extend(found.faults)
        _require_bearable(found)
    except SpecError as error:
        raise ExpectationsError(error.errors) from None
    made = tuple(_Reader(found, spec, diagnostics).expectations())
    errors = [each for each in diagnostics.errors if each in found.faults or not found.is_doubtful(each.origin)]
    if errors:
        raise ExpectationsError(errors)
    return made


def _require_bearable(found: Document) -> None:
    """Raises SpecError for what is no file of expectations, and for one that holds too much to be looked at."""
    root, known = found.root, document()["properties"]
    if not isinstance(root, Map) or not any(key in known for key in root):
        fix = "such a file begins with `expectations: 1`; a declaration is named with -f"
        raise SpecError([*found.faults, Diagnostic(found.origin(()), "this is no file of expectations", fix)])
    count = sum(len(items) for items in root.values() if isinstance(items, list))
    if count > MAX_EXPECTATIONS or not _within(root, MAX_VALUES):
        what = f"more than {MAX_EXPECTATIONS:,} expectations, or {MAX_VALUES:,} values, in this file"
        raise SpecError([*found.faults, Diagnostic(found.origin(()), what, "split it")])


def _within(root: Any, most: int) -> bool:
    """Whether there are at most so many values, each counted as often as it is met."""
    todo, count = [root], 0
    while todo:
        node = todo.pop()
        inner = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else ()
        count += 1 + len(inner)
        if count > most:
            return False
        todo += (each for each in inner if isinstance(each, dict | list))
    return True


class _Reader:
    """Interprets what has the schema's shape; complaints are gathered."""

    def __init__(self, found: Document, spec: Spec, diagnostics: Diagnostics) -> None:
        self._found, self._spec, self._diagnostics, self._work = found, spec, diagnostics, Work()
        self._members: dict[str, frozenset[str]] = {}

    def expectations(self) -> Iterator[AnExpectation]:
        """Each item that can be read, in file order."""
        unusable = self._unusable()
        readers: Mapping[str, Callable[[Map, Path], AnExpectation]] = {
            "logins": self._login,
            "deliveries": self._delivery,
            "ports": self._port,
            "records": self._records,
            "limits": self._limit,
            "plan": self._plan_limit,
        }
        for section, items in self._found.root.items():
            if section not in readers or (section,) in unusable["all"]:
                continue
            for number, item in enumerate(items):
                if (section, number) in unusable["items"]:
                    continue
                try:
                    yield readers[section](item, (section, number))
                except _Wrong as wrong:
                    origin = self._found.origin((section, number, *wrong.path), of_key=wrong.of_key)
                    self._diagnostics.refuse(origin, wrong.value)

    def _unusable(self) -> Mapping[str, set[Path]]:
        """What departs from the schema, which is complained about: whole sections, and items of others."""
        whole, items = set[Path](), set[Path]()
        found = problems_in(self._found.root, document())
        for problem in found:
            origin = self._found.origin(problem.path, of_key=problem.of_key)
            self._diagnostics.complain(origin, problem.what, problem.fix)
            if len(problem.path) == 1:
                whole.add(problem.path)
            items.add(problem.path[:2])
        if len(found) >= MAX_PROBLEMS:
            what = f"checking stopped after {MAX_PROBLEMS:,} errors"
            self._diagnostics.complain(self._found.origin(()), what, "correct these first")
        return {"all": whole, "items": items}

    # --- what all have

    def _common(self, item: Map, path: Path) -> dict[str, Any]:
        common: dict[str, Any] = {"origin": self._found.origin(path), "reason": item.get("reason", "")}
        name = item.get("host")
        if name is None:
            return common
        members = (name,) if name in self._spec.hosts else self._spec.groups.get(name)
        if not members:
            known = (*self._spec.hosts, *self._spec.groups)
            what = f"no host or group is called `{brief(name)}`" if members is None else f"the group `{name}` is empty"
            raise _Wrong(
                InvalidValue(what, self._meant(name, known) or f"declared are: {', '.join(known[:20])}"), "host"
            )
        if name not in self._members:
            self._members[name] = frozenset(members)
        return {**common, "hosts": self._members[name], "on": name}

    def _meant(self, text: str, known: Iterable[str]) -> str:
        return self._work.meant(text, known).removeprefix(": ")

    def _sources(self, item: Map) -> tuple[Sources, str]:
        """The addresses that `from` and `outside` mean, and that in words."""
        if "from" in item and "outside" in item:
            raise _Wrong(InvalidValue("`from` and `outside` exclude each other", "keep one of them"), "outside", True)
        key = "outside" if "outside" in item else "from"
        if key not in item:
            return EVERYWHERE, "anywhere"
        texts = _listed(item[key])
        try:
            found = sources(map(addresses.network, texts))
        except InvalidValue as wrong:
            raise _Wrong(wrong, key) from None
        if key == "outside":
            found = ~found
            if not found:
                what = "nothing is outside of these networks, so that anything would hold"
                raise _Wrong(InvalidValue(what, "name fewer"), key)
        return found, ", ".join(texts) if key == "from" else f"outside {', '.join(texts)}"

    def _whom(self, item: Map, key: str) -> str:
        """Whose accounts: an address, "*@DOMAIN" or "*"."""
        text: str = item.get(key, "*")
        if text == "*":
            return text
        with_name = text if "*" not in text else f"x{text[1:]}"
        address = self._address(with_name, key)
        return address if with_name == text else f"*@{self._declared(domain_of(address), key)}"

    def _declared(self, domain: str, key: str) -> str:
        if domain not in self._spec.domains:
            fix = self._meant(domain, self._spec.domains) or "name one that is"
            raise _Wrong(InvalidValue(f"the domain {domain} is not declared", fix), key)
        return domain

    def _address(self, text: str, key: str) -> str:
        """An address in its canonical form. Whether anybody has it is for the judging."""
        try:
            return addresses.target(text, self._spec.domains)
        except InvalidValue as wrong:
            raise _Wrong(wrong, key) from None

    # --- one kind after the other

    def _login(self, item: Map, path: Path) -> Login:
        found, where = self._sources(item)
        by = _listed(item.get("by", PROTOCOLS))
        return Login(
            **self._common(item, path),
            user=self._whom(item, "user"),
            by=tuple(name for name in PROTOCOLS if name in by),
            sources=found,
            where=where,
            allowed=item.get("allowed", True),
        )

    def _delivery(self, item: Map, path: Path) -> Delivery:
        if item.get("refused") is False:
            raise _Wrong(InvalidValue("`refused` is true, or is left out", "say what it `reaches`"), "refused")
        if ("reaches" in item) == ("refused" in item):
            what = "exactly one of `reaches` and `refused` is wanted here"
            raise _Wrong(InvalidValue(what, "for example reaches: [alice@example.com]"))
        ends = {addresses.without_extension(self._address(to, "reaches")) for to in _listed(item.get("reaches", ()))}
        return Delivery(**self._common(item, path), to=self._address(item["to"], "to"), reaches=tuple(sorted(ends)))

    def _port(self, item: Map, path: Path) -> Port:
        found, where = self._sources(item)
        if item["answers"] == "closed" and "protocol" in item:
            fix = "leave it out, or say what answers: tls or starttls"
            raise _Wrong(InvalidValue("a closed port has no `protocol`", fix), "protocol", True)
        return Port(
            **self._common(item, path),
            ports=tuple(sorted(map(int, _listed(item["port"])))),
            answers=item["answers"],
            protocol=item.get("protocol", ""),
            sources=found,
            where=where,
        )

    def _records(self, item: Map, path: Path) -> Records:
        common = self._common(item, path)
        one = [key for key in ("name", "type", "values") if key in item]
        if ("domain" in item) == bool(one) or len(one) in (1, 2):
            what = "either `domain`, or `name`, `type` and `values` are wanted here"
            raise _Wrong(InvalidValue(what, "for example {name: example.com, type: MX, values: 10 mail.example.com.}"))
        if "domain" in item:
            try:
                name = addresses.domain(item["domain"])
            except InvalidValue as wrong:
                raise _Wrong(wrong, "domain") from None
            return Records(**common, domain=self._declared(name, "domain"))
        try:
            name = record_name(item["name"])
        except InvalidValue as wrong:
            raise _Wrong(wrong, "name") from None
        texts = tuple(_listed(item["values"]))
        for text in texts:
            if wrong_value := value_fault(item["type"], text):
                raise _Wrong(wrong_value, "values")
        return Records(**common, name=name, kind=item["type"], values=texts)

    def _limit(self, item: Map, path: Path) -> Limit:
        of, most = item["of"], item["at_most"]
        _require_belonging(item, ("user",))
        size = ""
        if of == "quota":
            size, most = str(most), _quota(most)
        elif isinstance(most, str):
            raise _Wrong(InvalidValue(f"the most of {of} is a number", "for example at_most: 0"), "at_most")
        return Limit(**self._common(item, path), of=of, at_most=int(most), size=size, user=self._whom(item, "user"))

    def _plan_limit(self, item: Map, path: Path) -> PlanLimit:
        narrowing = (*_OF_CHANGES, "flag")
        _require_belonging(item, narrowing)
        said = {key: item[key] for key in narrowing if key in item}
        return PlanLimit(**self._common(item, path), of=item["of"], at_most=int(item["at_most"]), **said)


class _Wrong(Exception):
    """A value that is not what it should be, at this path below its item."""

    def __init__(self, value: InvalidValue, key: str = "", of_key: bool = False) -> None:
        super().__init__(value.what)
        self.value = value
        self.path = (key,) if key else ()
        self.of_key = of_key


def _listed(value: Any) -> Sequence[Any]:
    """The items of a list; or what stands alone."""
    return value if isinstance(value, list | tuple) else [value]


def _require_belonging(item: Map, narrowing: Sequence[str]) -> None:
    """Raises _Wrong for a key that narrows something else than what is limited."""
    for key in narrowing:
        if key in item and key not in _BELONGS.get(item["of"], ()):
            others = ", ".join(of for of, keys in _BELONGS.items() if key in keys)
            raise _Wrong(InvalidValue(f"`{key}` does not go with {item['of']}", f"it goes with: {others}"), key, True)


def _quota(most: Any) -> int:
    try:
        size = values.quota(most) if isinstance(most, str) else None
    except InvalidValue as wrong:
        raise _Wrong(wrong, "at_most") from None
    if size is None:
        raise _Wrong(InvalidValue("the most of a quota is a size", "for example at_most: 20GiB"), "at_most")
    return size
