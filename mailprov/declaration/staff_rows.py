"""A staff list: a table whose rows are users.

A row is read on a fast path that stops at its first fault; only then each of its cells is looked at by itself, so that
every fault is told. Both use the same readers. What comes again in row after row is read once and shared.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Final

from mailprov.declaration import addresses, cells, fast_records, hashes, states
from mailprov.declaration.accounts import Claim
from mailprov.declaration.cells import Known
from mailprov.declaration.columns import HEADINGS, Columns, plain
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.doubts import Doubt, Doubts
from mailprov.declaration.table import Table
from mailprov.declaration.weakness import weakness
from mailprov.errors import Origin
from mailprov.model import GENERATED, PROTOCOLS, Network, Password, Person, Protocol_, User, domain_of

EVERY_PROTOCOL: Final = frozenset(PROTOCOLS)
_PERSON: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    ("contact", cells.contact),
    ("department", cells.words),
    ("title", cells.words),
    ("mobile", cells.mobile),
    ("employee_id", cells.employee_id),
    ("language", cells.language),
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every user of a staff list whose row says nothing else."""

    domain: str = ""
    quota: int | None = None
    expire: int | None = None
    protocols: frozenset[Protocol_] = EVERY_PROTOCOL
    allow_from: tuple[Network, ...] = ()
    password: Password | None = None


@dataclass(frozen=True, slots=True)
class Roster:
    """The users of a table who can be understood, and what claims an address: the user, or else a Claim.

    `whole`: the address of every row is known.
    """

    users: list[User]
    claims: list[User | Claim]
    whole: bool


def read(table: Table, found: Columns, defaults: Defaults, diagnostics: Diagnostics) -> Roster:
    """The users that the table's rows are; faults are handed in at the `diagnostics`.

    Raises SpecError when there are too many of them to go on.
    """
    before = len(diagnostics.errors)
    reader = _Reader(table, found, defaults, diagnostics)
    with _collector_at_rest():
        made = reader.users()
    if not reader.claims and len(diagnostics.errors) == before:
        diagnostics.complain(table.heading(0), "this table has a header and no users", "add a line for each user")
    reader.warn_of_lost_zeros()
    reader.refuse_switches()
    reader.warn_of_weak(made)
    return Roster(made, reader.claims, len(diagnostics.errors) - before == reader.explained)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Nothing that a row becomes is garbage; to look for some again and again takes a third of the whole time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # all that was made is among the oldest objects now, not to be looked at again soon
        if was:
            gc.enable()


class _Reader:
    """Reads rows. A column that is absent has the index -1, where an empty text is put into each row."""

    def __init__(self, table: Table, found: Columns, defaults: Defaults, diagnostics: Diagnostics) -> None:
        self.table = table
        self.diagnostics = diagnostics
        self.defaults = defaults
        self.claims: list[User | Claim] = []
        self.lengths: dict[int, Origin] = {}
        self.canonical: set[str] = set()
        """domains that are written as they are stored"""
        self.explained = 0
        """complaints about rows whose address is known"""
        at = {field: found.at.get(field, -1) for field in HEADINGS}
        self.address_at = at["address"] if at["address"] >= 0 else at["local_part"]
        self.domain_at, self.name_at, self.hash_at, self.password_at = (
            at[field] for field in ("domain", "name", "password_hash", "password")
        )
        self.first_at, self.last_at = at["first_name"], at["last_name"]
        self.two_names = self.name_at < 0 and max(self.first_at, self.last_at) >= 0
        self.quota_at, self.protocols_at, self.aliases_at = (at[field] for field in ("quota", "protocols", "aliases"))
        self.previous_at = at["previous_address"]
        self.scheme_at = found.scheme
        self.states = tuple((index, Known(states.reader(plain(table.header[index])))) for index in found.states)
        self.doubts = Doubts(table, found)
        self.person_at = tuple(at[field] for field, _ in _PERSON)
        present = [(field, read, at[field]) for field, read in _PERSON if at[field] >= 0] or [(*_PERSON[0], -1)]
        self.person_of = itemgetter(*(index for _, _, index in present))
        self.id_at = at["employee_id"]
        self.quotas: Known[str, int | None] = Known(lambda text: cells.quota(text) if text.strip() else defaults.quota)
        self.expire_at = at["expire"]
        self.expires: Known[str, int | None] = Known(
            lambda text: cells.expire(text) if text.strip() else defaults.expire
        )
        self.protocols: Known[str, frozenset[Protocol_]] = Known(
            lambda text: cells.protocols(text) or defaults.protocols
        )
        self.people = Known(partial(_person, tuple((field, read) for field, read, _ in present)))
        self.source = f"the column `password_hash` of {table.file}"
        self.initial_source = f"the column `password` of {table.file}"
        self.unknown = defaults.password or GENERATED

    def users(self) -> list[User]:
        made: list[User] = []
        claim, keep, read = self.claims.append, made.append, self._reading()
        address_at, ids, doubts_of = self.address_at, self.id_at >= 0, self.doubts.of
        for number, fields, line in self.table.rows:
            fields.append("")
            try:
                user = read(fields, number, line)
            except InvalidValue:
                self._explain(fields, number, line)
                continue
            if (doubt := doubts_of(user, fields)) is not None:
                self._claim_doubtful(user, doubt, fields, number, line)
                continue
            keep(user)
            # a user whose address is written as it is stored says all that a claim does
            claim(user if fields[address_at] == user.address else self._claim(user, fields))
            if user.aliases:
                self._claim_aliases(user.aliases, number, line)
            if ids and user.person is not None:
                known_as = user.person.employee_id
                if len(known_as) not in self.lengths and known_as.isdecimal():
                    self.lengths[len(known_as)] = self.table.origin(number, line, self.id_at)
        return made

    def _reading(self) -> Callable[[list[str], int, str], User]:
        """What makes a user of a row's fields, its line's number and its line; it raises Wrong at the first fault."""
        # Names of this function instead of attributes: that alone is a tenth of the time of a long list.
        address_of, password_of, name_of, aliases_of = self._address, self._password, self._name, self._aliases
        address_at, hash_at, quota_at, name_at = self.address_at, self.hash_at, self.quota_at, self.name_at
        only_hash, one_name = self.password_at < 0 <= self.hash_at, not self.two_names
        quotas, people, person_of, source = self.quotas, self.people, self.person_of, self.source
        protocols, allow_from, aliases_at = self._protocols, self.defaults.allow_from, self.aliases_at
        previous_of, previous_at = self._previous, self.previous_at
        same = self.defaults.protocols if self.protocols_at < 0 and not self.states else None
        file, column, canonical = self.table.file, self.table.column, self.canonical
        expires, expire_at = self.expires, self.expire_at
        usual, usual_hash, words = addresses.USUAL.fullmatch, hashes.USUAL.fullmatch, cells.words
        new_user, managed = fast_records.user, fast_records.managed

        def read(fields: list[str], number: int, line: str) -> User:
            text = fields[address_at]
            found = usual(text)
            address = text if found and found[2] in canonical and ".." not in text else address_of(fields)
            text = fields[hash_at]
            return new_user(
                address,
                managed(source, text) if only_hash and usual_hash(text) else password_of(fields),
                words(fields[name_at]) if one_name else name_of(fields),
                quotas[fields[quota_at]],
                same if same is not None else protocols(fields),
                allow_from,
                aliases_of(fields, address) if fields[aliases_at] else (),
                Origin(file, number, column(line, address_at) if address_at else 1),
                people[person_of(fields)],
                expires[fields[expire_at]],
                previous_of(fields, address) if fields[previous_at] else "",
            )

        return read

    # --- cells that take more than one

    def _address(self, fields: list[str]) -> str:
        text = fields[self.address_at].strip()
        if "@" not in text:
            text = self._whole(text, fields)
        address = addresses.mailbox(text)
        if address == text:
            self.canonical.add(domain_of(address))
        return address

    def _whole(self, text: str, fields: list[str]) -> str:
        """The address of a local part that stands alone. Raises Wrong, whose words do not show what may be a secret."""
        if not text:
            raise InvalidValue("the mail address is missing", "write it, or delete this line")
        if "＠" in text:
            raise InvalidValue("the @ is a wide one (＠)", "write it as @")
        domain = fields[self.domain_at].strip() or self.defaults.domain
        if not domain or text.startswith("{"):
            raise InvalidValue("this is not a mail address", "for example alice@example.com")
        return f"{text}@{domain}"

    def _name(self, fields: list[str]) -> str:
        if self.two_names:
            return cells.full_name(fields[self.first_at], fields[self.last_at])
        return cells.words(fields[self.name_at])

    def _password(self, fields: list[str]) -> Password:
        text, clear = fields[self.hash_at], fields[self.password_at]
        if clear:
            cells.scheme(fields[self.scheme_at], clear)
            initial = cells.initial(clear, self.initial_source)
            if initial is not None:
                if text.strip():
                    raise InvalidValue("this user has a password and a password hash", "keep one of them")
                return initial
        return cells.managed(text, self.source) if text.strip() else self.unknown

    def _protocols(self, fields: list[str]) -> frozenset[Protocol_]:
        found = self.protocols[fields[self.protocols_at]]
        return found if all(known[fields[index]] for index, known in self.states) else cells.NOBODY

    def _aliases(self, fields: list[str], address: str) -> tuple[str, ...]:
        at_domain = address[address.find("@") :]
        texts = (text if "@" in text else text + at_domain for text in cells.parts(fields[self.aliases_at]))
        return tuple(dict.fromkeys(map(addresses.mailbox, texts)))

    def _previous(self, fields: list[str], address: str) -> str:
        text = fields[self.previous_at].strip()
        if not text:
            return ""
        was = addresses.mailbox(text if "@" in text else text + address[address.find("@") :])
        return was if was != address else ""  # such columns are often filled for everybody

    # --- claims

    def _claim(self, user: User, fields: list[str]) -> Claim:
        return Claim(user.address, "user", fields[self.address_at].strip(), user.origin or self.table.heading(0))

    def _claim_aliases(self, aliases: tuple[str, ...], number: int, line: str) -> None:
        origin = self.table.origin(number, line, self.aliases_at)
        self.claims.extend(Claim(alias, "alias of a user", alias, origin) for alias in aliases)

    # --- faults

    def _claim_doubtful(self, user: User, doubt: Doubt, fields: list[str], number: int, line: str) -> None:
        """Complain about a cell that may say that a user has left; her addresses count as declared."""
        index, what, fix = doubt
        self.diagnostics.complain(self.table.origin(number, line, index), what, fix)
        self.explained += 1
        self.claims.append(self._claim(user, fields))
        if user.aliases:
            self._claim_aliases(user.aliases, number, line)
        self.diagnostics.stop_when_full()

    def refuse_switches(self) -> None:
        """Complain about columns of yes and no that nobody has explained."""
        for index, what, fix in self.doubts.switches():
            self.diagnostics.complain(self.table.heading(index), what, fix)
            self.explained += 1

    def _explain(self, fields: list[str], number: int, line: str) -> None:
        """Complain about each cell of a row in which something is wrong; a row of nothing is no row."""
        if not any(map(str.strip, fields)):
            return
        address, before = "", len(self.diagnostics.errors)
        for index, read in self._cells(fields):
            try:
                found = read(fields)
            except InvalidValue as wrong:
                self._refuse(wrong, fields, number, line, index)
                continue
            if index == self.address_at:
                address = str(found)
        if address:
            # it counts as declared, so that one fault is one complaint
            origin = self.table.origin(number, line, self.address_at)
            self.claims.append(Claim(address, "user", fields[self.address_at].strip(), origin))
            self._explain_beside(fields, address, number, line)
            if len(self.diagnostics.errors) == before:
                # no row is ever lost in silence, whatever the two ways to read it make of it
                self.diagnostics.complain(origin, "this line cannot be understood", "write it anew")
            self.explained += len(self.diagnostics.errors) - before
        self.diagnostics.stop_when_full()

    def _refuse(self, wrong: InvalidValue, fields: list[str], number: int, line: str, index: int) -> None:
        """A comma without quotes shifts a row: where there are passwords, any cell may hold one, and none is shown."""
        if max(self.password_at, self.hash_at) >= 0:
            wrong = cells.unquoted(wrong, fields[index])
        self.diagnostics.refuse(self.table.origin(number, line, index), wrong)

    def _explain_beside(self, fields: list[str], address: str, number: int, line: str) -> None:
        """Of the cells that are understood only beside the address."""
        try:
            self._claim_aliases(self._aliases(fields, address), number, line)
        except InvalidValue as wrong:
            self._refuse(wrong, fields, number, line, self.aliases_at)
        try:
            self._previous(fields, address)
        except InvalidValue as wrong:
            self._refuse(wrong, fields, number, line, self.previous_at)

    def _cells(self, fields: list[str]) -> Iterator[tuple[int, Callable[[list[str]], object]]]:
        """What reads each cell of a row by itself, with the index of the cell."""
        yield self.address_at, self._address
        yield max(self.name_at, self.first_at, self.last_at), self._name
        yield self.password_at if fields[self.password_at].strip("*") else self.hash_at, self._password
        readers: list[tuple[int, Callable[[str], object]]] = [
            (self.quota_at, self.quotas.__getitem__),
            (self.expire_at, self.expires.__getitem__),
            (self.protocols_at, self.protocols.__getitem__),
            *((index, known.__getitem__) for index, known in self.states),
            *zip(self.person_at, (read for _, read in _PERSON), strict=True),
        ]
        for index, read in readers:
            yield index, partial(_cell, index, read)

    def warn_of_weak(self, made: Sequence[User]) -> None:
        """Warn, once, of first passwords that are guessed soon, and where all of them may be hashes."""
        first = [
            (user.origin or self.table.heading(self.password_at), user.password.plaintext.reveal(), user.address)
            for user in (made if self.password_at >= 0 else ())
            if user.password.plaintext is not None and user.password is not self.defaults.password
        ]
        if hashes.are_des([text for _, text, _ in first]):
            what = f"all {len(first):,} passwords look like hashes (DES), and would be the passwords themselves"
            self.diagnostics.warn(first[0][0], what, "if they are hashes, empty these cells: passwords are generated")
        weak = [(place, words) for place, text, address in first if (words := weakness(text, address))]
        if weak:
            place, words = weak[0]
            what = f"{len(weak):,} initial password{' is' if len(weak) == 1 else 's are'} weak: the first one {words}"
            self.diagnostics.warn(place, what, "leave such cells empty: passwords are generated then")

    def warn_of_lost_zeros(self) -> None:
        """Warn where employee numbers have different lengths, as they do once a spreadsheet has read 007 as 7."""
        if len(self.lengths) > 1:
            least, most = min(self.lengths), max(self.lengths)
            what = f"employee numbers have {least} to {most} digits"
            fix = "if they begin with zeros, a spreadsheet has dropped these: format the column as text"
            self.diagnostics.warn(self.lengths[least], what, fix)


def _cell(index: int, read: Callable[[str], object], fields: list[str]) -> object:
    return read(fields[index])


def _person(readers: tuple[tuple[str, Callable[[str], str]], ...], texts: str | tuple[str, ...]) -> Person | None:
    """The person of these cells, one for each reader; a lone one stands for itself. Raises Wrong."""
    cells_ = (texts,) if isinstance(texts, str) else texts
    found = {field: value for (field, read), text in zip(readers, cells_, strict=True) if (value := read(text))}
    return Person(**found) if found else None
