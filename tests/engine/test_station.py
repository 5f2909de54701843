"""Where a host is in its transaction, and what is said to whoever interrupts just there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.engine.transaction import Event, event, outcome
from mailprov.engine.transaction_state import Station, interrupted, place, words
from mailprov.model import Phase, Step

STEPS = [Step(Phase.COMMIT, f"write /etc/{name}", ("keep",), ("keep",)) for name in "abc"]
BEGUN = ("begin", "do 1", "done 1", "validate", "commit", "do 2")
AWAITS = (*BEGUN, "done 2", "do 3", "done 3", "health", f"await 60 {'a' * 64}")
REVERTS = (*BEGUN, "says no", "failed 2", "revert")
MIXED = (*REVERTS, "says busy", "stuck 2", "says busy", "stuck 2", "verdict mixed", "says still busy", "stuck 2")


def journal(*lines: str) -> list[Event]:
    """Events a second apart, from 17:05:00 on."""
    read = [event(f"{1_900_083_900 + at} {line}") for at, line in enumerate(lines)]
    assert all(read)
    return [each for each in read if each]


def said(*lines: str) -> str:
    return interrupted(journal(*lines), STEPS, 60)


SAID = {
    (): "it may go on by itself: it was just being handed the work; what is not confirmed, it puts back",
    ("begin",): "it goes on by itself: it is at its beginning; then it waits 60 seconds",
    ("begin", "do 1"): "it goes on by itself: it is at step 1 of 3 (write /etc/a); then it waits 60 seconds for a "
    "confirmation, and puts everything back without one",
    (*BEGUN[:4],): "it is running the staged configuration with its own programs, apart from the live service; then",
    BEGUN: "it goes on by itself: it is at step 2 of 3 (write /etc/b); then it waits 60 seconds",
    AWAITS[:-1]: "it is checking each of its listeners; then it waits 60 seconds",
    AWAITS: "it goes on by itself: it is waiting until 17:06:10Z for confirmation, then puts everything back, "
    "unless a confirmation has just reached it",
    (*AWAITS, "confirmed"): "it goes on by itself: it is confirmed: the change stays, and is being written down",
    (*AWAITS, "confirmed", "settle"): "confirmed: the change stays",
    (*AWAITS, "confirmed", "verdict applied"): "it had ended: the change is applied",
    (*AWAITS, "confirmed", "verdict unsealed", "says full"): "not written down yet: goes on trying: full",
    REVERTS: "it goes on by itself: it is putting everything back",
    (*BEGUN, "settle"): "it goes on by itself: it is putting everything back",
    MIXED: "it goes on by itself: revert incomplete: goes on trying: step 2 of 3 (write /etc/b); still busy",
    (*MIXED, "settle", "revert"): "it goes on by itself: it is putting everything back",
    (*REVERTS, "verdict reverted"): "it had ended: everything was put back",
    ("begin", "do 1", "failed 1", "verdict failed"): "it had ended: it failed, and nothing that is served was touched",
    ("says somebody", "verdict locked"): "it had ended: it did not begin, and nothing was touched",
    ("verdict stale",): "it had ended: it did not begin, and nothing was touched",
}


@pytest.mark.parametrize("lines", SAID, ids=lambda lines: lines[-1] if lines else "nothing")
def test_whoever_interrupts_is_told_what_the_host_does(lines: tuple[str, ...]) -> None:
    assert SAID[lines] in said(*lines)


@pytest.mark.parametrize("lines", SAID, ids=lambda lines: lines[-1] if lines else "nothing")
def test_the_last_event_of_each_name_is_enough(lines: tuple[str, ...]) -> None:
    """That is all that a host tells to whoever asks for its status."""
    whole = journal(*lines)
    last = {each.name: each for each in whole}
    assert words(place([each for each in whole if last[each.name] is each])) == words(place(whole))


def test_without_the_steps_their_numbers_are_told() -> None:
    assert words(place(journal(*BEGUN))) == "at step 2"
    assert words(place(journal(*MIXED))) == "revert incomplete: goes on trying: step 2; still busy"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (AWAITS, "while it waited for confirmation"),
        ((*AWAITS, "confirmed"), "after it was confirmed"),
        (REVERTS, "while everything was put back"),
        (BEGUN, "at step 2"),
        (MIXED, "revert incomplete: step 2; still busy"),
    ],
)
def test_where_nobody_is_at_work_nothing_is_said_to_go_on(lines: tuple[str, ...], told: str) -> None:
    assert words(place(journal(*lines)), trying=False) == told


def test_why_everything_is_put_back() -> None:
    assert words(place(journal(*REVERTS))) == "putting everything back (no)"


def test_a_host_that_goes_on_trying_does_so_since_the_first_time() -> None:
    found = place(journal(*MIXED, "verdict mixed", "stuck 2"))
    assert found.station is Station.INCOMPLETE
    assert found.step == 2
    assert place(journal(*MIXED[: MIXED.index("verdict mixed") + 1])).step == 2, "what is stuck is known at once"
    assert found.since == place(journal(*MIXED[: MIXED.index("verdict mixed") + 1])).since


_EVENTS = st.sampled_from(
    ["do", "done", "failed", "validate", "commit", "await", "confirmed", "revert", "settle", "says", "stuck", "verdict"]
)
_WORDS = st.sampled_from(["", "1", "3", "99", "x", "60 aa", "99999999999", "mixed", "unsealed", "applied", "reverted"])


@given(st.lists(st.builds(Event, st.integers(0, 99_999_999_999), _EVENTS, _WORDS)))
def test_any_journal_has_words(events: list[Event]) -> None:
    assert words(place(events), STEPS)
    assert interrupted(events, STEPS, 60)


@pytest.mark.parametrize("line", ["999999999999 begin x", f"{'1' * 5000} begin", "\u0661 begin"])
def test_a_moment_that_is_none_is_no_event(line: str) -> None:
    assert event(line) is None


@pytest.mark.parametrize("step", ["1" * 5000, "\u00b2", "99999"])
def test_a_step_that_is_none(step: str) -> None:
    events = journal("begin", f"do {step}", f"failed {step}", "verdict failed")
    assert outcome(events, STEPS).failed == step
    assert place(events).station is Station.ENDED
