"""Where hosts are looked at and changed: in threads here, or on the workers of a Dask cluster.

Either is a concurrent.futures.Executor. A worker elsewhere reads the declaration itself, from the same path: no secret
travels to it, and none comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mailprov import extras
from mailprov.credentials.folder import Folder
from mailprov.engine.drift import Drift
from mailprov.engine.plan import told
from mailprov.engine.rollout import HostStatus, Result
from mailprov.engine.saved_plan import Claim
from mailprov.errors import HostError, MailprovError, UndecidedError
from mailprov.model import HostSpec, Plan, Purpose, Spec, some
from mailprov.observer import Ended, Observer, StillAtWork, Unobserved
from mailprov.report import place
from mailprov.workflows import generated_passwords, host_run
from mailprov.workflows.at_work import AtWork
from mailprov.workflows.attempt import interrupted
from mailprov.workflows.drift import drift_host
from mailprov.workflows.host_run import HostPlan, Supply
from mailprov.workflows.open_hosts import OpenHosts
from mailprov.workflows.secrets import APPLY, PLAN, require
from mailprov.workflows.selection import host, load
from mailprov.workflows.survey import prepare

T = TypeVar("T")

THREADS = "threads"
HERE = "here"
"""in the caller's own thread, for a lone host"""
LOOKS = 16
CHANGES = 32
"""how many hosts are looked at, and changed, at the same time in threads"""
PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Fleet:
    """Does things with many hosts of the declaration in `file` at once; `where` is HERE, THREADS or "dask://HOST:PORT"."""

    file: Path
    where: str = THREADS
    handout: Path = Path("handout")
    """where generated passwords are: a worker elsewhere finds them at the same path"""
    spec: Spec = field(repr=False, kw_only=True)
    observer: Observer = field(repr=False, kw_only=True)
    at_work: AtWork = field(default_factory=AtWork, repr=False, kw_only=True)
    """what the hosts say that are changed from here; of those that a worker elsewhere changes, nothing"""
    opened: OpenHosts | None = field(default=None, repr=False, kw_only=True)
    """what keeps the sessions of hosts that are to be changed, until that is done"""
    supply: Supply | None = field(default=None, repr=False, kw_only=True)
    """who gives passwords for what a host turns out to need besides"""
    to_the_letter: bool = field(default=False, kw_only=True)
    """a plan that was kept is carried out just as it is, or not at all"""

    @property
    def _elsewhere(self) -> bool:
        return self.where not in (HERE, THREADS)

    def look(self, chosen: Sequence[HostSpec]) -> list[HostPlan | MailprovError]:
        """The plan for each host, or why there is none, in the order of `chosen`. Raises MailprovError for `where`."""
        found = self._looked(chosen, _look_there, partial(host_run.plan_host, keep=self.opened), _machine)
        return [self._as_here(each) if isinstance(each, HostPlan) and self._elsewhere else each for each in found]

    def _as_here(self, found: HostPlan) -> HostPlan:
        """What a worker elsewhere has found: it knows the declaration by its whole path."""
        there, here = f"{self.file.resolve().parent}/", str(self.file).removesuffix(self.file.name)
        warnings = tuple(each.replace(there, here) for each in found.plan.warnings)
        return replace(found, plan=replace(found.plan, warnings=warnings))

    def drift(self, chosen: Sequence[HostSpec]) -> list[Drift | MailprovError]:
        """What each host changed, or why that cannot be told, in the order of `chosen`. Raises as `look` does."""
        return self._looked(chosen, _drift_there, drift_host, lambda each: (each.host, each.machine))

    def _looked(
        self,
        chosen: Sequence[HostSpec],
        there: Callable[..., T | MailprovError],
        here: Callable[..., T | MailprovError],
        machine: Callable[[T], tuple[str, str]],
    ) -> list[T | MailprovError]:
        """What a look at each host gives, there or here; `machine` tells which host on which machine that is of."""
        with self._begun(there, here, [(declared,) for declared in chosen], LOOKS) as futures:
            if not self._elsewhere:
                prepare(chosen)
            pairs = zip(chosen, futures, strict=True)
            return told_apart([_looked(declared.name, future) for declared, future in pairs], machine)

    def change(self, chosen: Sequence[HostSpec], claims: Mapping[str, Claim]) -> list[Result]:
        """Carry out the plan that each host's claim tells of.

        Whoever interrupts that waits for the hosts that are at work, and for no other.
        Raises MailprovError for `where`.
        """
        if self.at_work.stopped:
            return [interrupted(declared.name) for declared in chosen]
        there = partial(_change_there, str(self.handout.resolve()), self.to_the_letter)
        here = partial(
            host_run.apply_host,
            observer=self.observer,
            supply=self.supply,
            at_work=self.at_work,
            to_the_letter=self.to_the_letter,
            opened=self.opened,
        )
        calls = [(declared, claims[declared.name]) for declared in chosen]
        with self._begun(there, here, calls, CHANGES) as futures:
            try:
                wait(futures)
            except KeyboardInterrupt:
                self.at_work.stopped = True
                for future in futures:
                    future.cancel()
                pairs = zip(chosen, futures, strict=True)
                left = [declared.name for declared, future in pairs if not future.done()]
                self.observer.tell(StillAtWork(len(left), self.at_work.lines(left)))
                try:
                    wait(futures)
                except KeyboardInterrupt:
                    self.at_work.leave()
                    raise
            pairs = zip(chosen, futures, strict=True)
            return [self._changed(declared.name, future) for declared, future in pairs]

    def _changed(self, name: str, future: Future[Result]) -> Result:
        if future.cancelled():
            return interrupted(name)
        try:
            made = future.result()
            if self._elsewhere:  # from here it is told as it ends
                self.observer.tell(Ended(made, expected=True))
            return made
        except MailprovError as error:  # a worker elsewhere could not even begin
            error.at(name)
            made = Result(name, HostStatus.FAILED, error=error)
        except Exception as error:
            what = _MISTAKE.format(type(error).__name__)
            lost = UndecidedError(what, where=name, why=place(error), fix=f"see `mailprov status`; {_REPORT}")
            made = Result(name, HostStatus.UNKNOWN, error=lost)
        self.observer.tell(Ended(made, expected=True))
        return made

    @contextmanager
    def _begun(
        self, there: Callable[..., T], here: Callable[..., T], calls: Sequence[tuple[Any, ...]], most: int
    ) -> Iterator[list[Future[T]]]:
        """The calls on their way; what is not begun never is, when the block ends with an error."""
        with executor(self.where, min(most, len(calls))) as pool:
            futures: list[Future[T]] = []
            path = str(self.file.resolve())
            try:
                for words in calls:
                    if self._elsewhere:
                        futures.append(pool.submit(there, path, words[0].name, *words[1:]))
                    else:
                        futures.append(pool.submit(here, self.spec, *words))
                yield futures
            except BaseException:
                for future in futures:
                    future.cancel()
                raise


def _machine(found: HostPlan) -> tuple[str, str]:
    return found.plan.host, found.plan.facts.machine_id


def _looked(name: str, future: Future[T | MailprovError]) -> T | MailprovError:
    try:
        return future.result()
    except MailprovError as error:
        found = error
    except Exception as error:
        found = HostError(_MISTAKE.format(type(error).__name__), why=place(error), fix=_REPORT)
    found.at(name)
    return found


_MISTAKE = "a mistake of mailprov's, or the end of the worker, ended the work: {}"
_REPORT = "please report this line"


def told_apart(found: Sequence[T | MailprovError], machine: Callable[[T], tuple[str, str]]) -> list[T | MailprovError]:
    """What was found, with an error in place of all that was found on a machine that other hosts are, too.

    `machine` tells of one of them the host's name and the machine-id.
    """
    names: dict[str, list[str]] = {}
    for one in found:
        if not isinstance(one, MailprovError):
            host, identity = machine(one)
            names.setdefault(identity, []).append(host)

    def checked(one: T | MailprovError) -> T | MailprovError:
        if isinstance(one, MailprovError) or len(same := names[machine(one)[1]]) == 1:
            return one
        host, identity = machine(one)
        error = HostError(
            f"this is the same machine as {some([name for name in same if name != host], 3)}",
            why=f"they have one machine-id: {identity}",
            fix="declare each machine once; on a copied machine: rm /etc/machine-id && systemd-machine-id-setup",
        )
        error.at(host)
        return error

    return [checked(one) for one in found]


class _Here(Executor):
    """Does each call at once, in the caller's thread: what a lone host asks, and who interrupts it, is met there."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As Executor.submit, and the future is done; an interruption goes on to the caller."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def executor(where: str, most: int) -> Iterator[Executor]:
    """The executor that `where` names. Raises MailprovError where there is none."""
    if where == HERE:
        yield _Here()
        return
    if where == THREADS:
        pool = ThreadPoolExecutor(max_workers=max(1, most))
        patient = True
        try:
            yield pool
        except KeyboardInterrupt:
            patient = False  # whoever interrupts is told at once what is still at work
            raise
        finally:
            pool.shutdown(wait=patient, cancel_futures=not patient)
        return
    kind, _, address = where.partition("://")
    if kind != "dask" or not address:
        raise MailprovError(f"`{where}` is no executor", where="--executor", fix="write threads, or dask://HOST:PORT")
    try:
        from distributed import Client
    except ImportError as error:
        raise MailprovError("Dask is not installed", where=where, fix=extras.install("dask")) from error
    try:
        client = Client(f"tcp://{address}", timeout=PATIENCE_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise MailprovError("no Dask scheduler answers", where=where, why=str(error)[:300]) from error
    with client:
        yield client.get_executor(pure=False, retries=0)


def _read(file: str, name: str, reads: frozenset[Purpose] = APPLY) -> tuple[Spec, HostSpec]:
    spec = load(Path(file), reads, Unobserved())
    found = host(spec, name)
    require(spec, [found], PLAN)
    return spec, found


def _look_there(file: str, name: str) -> HostPlan | MailprovError:
    try:
        found = host_run.plan_host(*_read(file, name, PLAN))
    except MailprovError as error:
        return error
    return found if isinstance(found, MailprovError) else HostPlan(told(found.plan), found.claim)


def _drift_there(file: str, name: str) -> Drift | MailprovError:
    try:
        spec = load(Path(file), PLAN, Unobserved())
        return drift_host(spec, host(spec, name))
    except MailprovError as error:
        return error


def _change_there(handout: str, to_the_letter: bool, file: str, name: str, claim: Claim) -> Result:
    supply = partial(_supplied, Folder(Path(handout)))
    return host_run.apply_host(*_read(file, name), claim, Unobserved(), supply, to_the_letter=to_the_letter)


def _supplied(folder: Folder, spec: Spec, plan: Plan) -> Spec:
    made = generated_passwords
    created = made.created(spec, [plan])
    return (
        made.known(spec, {name: it for name, it in made.kept(folder).items() if name in created}) if created else spec
    )
