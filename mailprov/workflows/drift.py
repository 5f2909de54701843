"""What hosts changed since the last apply: one host looked at, read-only, without the secrets that are not here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mailprov import standard
from mailprov.connection import Host
from mailprov.credentials.passwords import initial_hash
from mailprov.engine.drift import Drift, drift, moved, record, within_reach
from mailprov.engine.plan import closer_queries, differences, obstacles
from mailprov.errors import HostError, MailprovError
from mailprov.model import HostSpec, Key, Secret, Spec
from mailprov.resources import files
from mailprov.roles import mailhost, recovery
from mailprov.workflows.secrets import with_guess
from mailprov.workflows.session import session
from mailprov.workflows.survey import (
    ask_closer,
    observe,
    questions,
    refuse_closed_mail,
    refuse_unsettled,
    refuse_unusable,
    unsettled,
)

_GUESSES = (Secret("{CRYPT}-"), Secret("{CRYPT}."))
"""what differs between them depends on a secret that is not here"""


def drift_host(spec: Spec, declared: HostSpec) -> Drift | MailprovError:
    """What one host changed, or why that cannot be told."""
    try:
        with session(declared) as host:
            return look(spec, declared, host)
    except MailprovError as error:
        error.where = error.where or declared.name
        return error


def look(spec: Spec, declared: HostSpec, host: Host) -> Drift:
    """Look at the host. One exec when it changed nothing, two when it changed something.

    A managed hash and a key that are not here are done without. Raises as `survey`; HostError, too, where nothing tells
    what the last apply left; LockedError where an apply has not come to its end, and nothing else is to be told.
    """
    registry = standard.REGISTRY
    known, here = with_guess(spec, declared, _GUESSES[0])
    sections, seen = observe(questions(known, here), host)
    try:
        kept = record(sections, declared.name, changed=Key(files.KIND, recovery.UNIT) in seen.live)
    except HostError:
        refuse_unsettled(declared.name, sections)
        raise
    seen = replace(seen, manifest=kept)
    desired = mailhost.desired(known, here, seen.facts, initial_hash)
    unknown = frozenset[Key]()
    if known is not spec or here is not declared:
        other = mailhost.desired(*with_guess(spec, declared, _GUESSES[1]), seen.facts, initial_hash)
        unknown = frozenset(key for key, item in desired.items() if other[key].fingerprint != item.fingerprint)
    found = differences(registry, within_reach(desired, unknown, seen.live), seen)
    details = ask_closer(closer_queries(registry, moved(found, unknown)), host)
    warnings = (
        *unsettled(sections),
        *_refusal(lambda: refuse_unusable(here, seen)),
        *_refusal(lambda: refuse_closed_mail(known, here, seen, desired, sections)),
        *(f"{_REFUSED}: {words}" for _, words in obstacles(registry, found, seen.live)),
    )
    made = drift(registry, declared.name, seen, desired, found, unknown, details, declared.ignored, warnings)
    if not made.counted:
        refuse_unsettled(declared.name, sections)
    return made


_REFUSED = "an apply would refuse this host"


def _refusal(refuse: Callable[[], None]) -> tuple[str, ...]:
    """What an apply would refuse, as a warning: that is no reason not to tell what drifted."""
    try:
        refuse()
    except HostError as error:
        return (f"{_REFUSED}: {error.what}",)
    return ()
