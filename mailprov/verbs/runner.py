"""Where hosts are looked at and changed: in threads here, or on the workers of a Dask cluster.

Either is a concurrent.futures.Executor. A worker elsewhere reads the declaration itself, from the same path: no secret
travels to it, and none comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mailprov import planfile
from mailprov.errors import HostError, MailprovError
from mailprov.handout.folder import Folder
from mailprov.model import HostSpec, Spec
from mailprov.planfile import Kept
from mailprov.resources.rows import some
from mailprov.rollout import Result
from mailprov.survey import prepare
from mailprov.verbs import handing, work
from mailprov.verbs.session import host, load

T = TypeVar("T")

THREADS = "threads"
LOOKS = 16
CHANGES = 32
"""how many hosts are looked at, and changed, at the same time in threads"""
PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Runner:
    """Does things with many hosts of the declaration in `file` at once; `where` is "threads" or "dask://HOST:PORT"."""

    file: Path
    where: str = THREADS
    handout: Path = Path("handout")
    """where generated passwords are: a worker elsewhere finds them at the same path"""
    spec: Spec = field(repr=False, kw_only=True)

    def look(self, chosen: Sequence[HostSpec]) -> list[Kept | MailprovError]:
        """The plan for each host, or why there is none, in the order of `chosen`. Raises MailprovError for `where`."""
        return told_apart(self._each(_look_there, work.look, [(declared,) for declared in chosen], LOOKS))

    def change(self, chosen: Sequence[HostSpec], parts: Mapping[str, Kept]) -> list[Result]:
        """Carry out each host's plan. Raises MailprovError for `where`."""
        there = partial(_change_there, str(self.handout.resolve()))
        return self._each(there, work.change, [(declared, parts[declared.name]) for declared in chosen], CHANGES)

    def _each(
        self, there: Callable[..., T], here: Callable[..., T], calls: Sequence[tuple[Any, ...]], most: int
    ) -> list[T]:
        with executor(self.where, min(most, len(calls))) as pool:
            if self.where == THREADS:
                futures = [pool.submit(here, self.spec, *words) for words in calls]
                prepare([words[0] for words in calls])
            else:
                path = str(self.file.resolve())
                futures = [pool.submit(there, path, words[0].name, *map(_light, words[1:])) for words in calls]
            return [future.result() for future in futures]


def told_apart(found: Sequence[Kept | MailprovError]) -> list[Kept | MailprovError]:
    """What was found, with an error in place of each plan for a machine that other hosts are, too."""
    names: dict[str, list[str]] = {}
    for one in found:
        if not isinstance(one, MailprovError):
            names.setdefault(one.plan.facts.machine_id, []).append(one.plan.host)

    def checked(one: Kept | MailprovError) -> Kept | MailprovError:
        if isinstance(one, MailprovError) or len(same := names[one.plan.facts.machine_id]) == 1:
            return one
        return HostError(
            f"this is the same machine as {some([name for name in same if name != one.plan.host], 3)}",
            where=one.plan.host,
            why=f"they have one machine-id: {one.plan.facts.machine_id}",
            cure="declare each machine once; on a copied machine: rm /etc/machine-id && systemd-machine-id-setup",
        )

    return [checked(one) for one in found]


@contextmanager
def executor(where: str, most: int) -> Iterator[Executor]:
    """The executor that `where` names. Raises MailprovError where there is none."""
    if where == THREADS:
        with ThreadPoolExecutor(max_workers=max(1, most)) as pool:
            yield pool
        return
    kind, _, address = where.partition("://")
    if kind != "dask" or not address:
        raise MailprovError(f"`{where}` is no executor", where="--executor", cure="write threads, or dask://HOST:PORT")
    try:
        from distributed import Client
    except ImportError as error:
        raise MailprovError("Dask is not installed", where=where, cure="pip install 'mailprov[dask]'") from error
    try:
        client = Client(f"tcp://{address}", timeout=PATIENCE_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise MailprovError("no Dask scheduler answers", where=where, why=str(error)[:300]) from error
    with client:
        yield client.get_executor(pure=False, retries=0)


def _light(part: Kept) -> Kept:
    """Without what the declaration and the host hold: a worker takes that from them again."""
    return planfile.load(planfile.dump("", False, [part]), "").hosts[0]


def _read(file: str, name: str) -> tuple[Spec, HostSpec]:
    spec = load(Path(file))
    return spec, host(spec, name)


def _look_there(file: str, name: str) -> Kept | MailprovError:
    try:
        found = work.look(*_read(file, name))
    except MailprovError as error:
        return error
    return found if isinstance(found, MailprovError) else _light(found)


def _change_there(handout: str, file: str, name: str, part: Kept) -> Result:
    spec, declared = _read(file, name)
    if handing.created(spec, [part.plan]):
        spec = handing.known(spec, handing.kept(Folder(Path(handout))))
    return work.change(spec, declared, part)
