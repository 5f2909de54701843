"""The file of a kept plan: the text is plain JSON, any byte of it counts, and it is read host by host."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov import __version__
from mailprov.engine import plan_file
from mailprov.engine.risks import FLAGS
from mailprov.engine.saved_plan import Claim, SavedPlan
from mailprov.errors import KeptPlanError
from mailprov.model import Action, Effect, Key, Reason

TEXT = st.text(st.one_of(st.characters(), st.sampled_from('"\\\n,[]{}\u2028\U0001f600')), max_size=8)
EFFECTS = st.dictionaries(TEXT, st.sampled_from(list(Effect.__members__)), max_size=3)
CHANGES = st.fixed_dictionaries(
    {
        "key": st.tuples(TEXT, TEXT).map(list),
        "action": st.sampled_from(list(Action.__members__)),
        "reason": st.sampled_from(list(Reason.__members__)),
        "summary": TEXT,
        "detail": TEXT,
        "effects": EFFECTS,
        "rows": st.dictionaries(TEXT, st.integers(), max_size=2),
    }
)
PRINTS = st.dictionaries(st.builds(Key, TEXT, TEXT), TEXT, max_size=3)
HOSTS = st.from_regex(r"[A-Ca-c0-9]([a-c0-9._-]{0,3}[a-c0-9])?", fullmatch=True)
CLAIMS = st.builds(
    Claim,
    HOSTS,
    TEXT,
    TEXT,
    TEXT,
    EFFECTS,
    st.lists(st.fixed_dictionaries({"flag": st.sampled_from(list(FLAGS)), "text": TEXT}), max_size=2).map(tuple),
    st.lists(CHANGES, max_size=2).map(tuple),
    PRINTS,
    PRINTS,
    st.lists(TEXT, max_size=2).map(tuple),
)
PLANS = st.lists(CLAIMS, max_size=3, unique_by=lambda each: each.host).map(
    lambda claims: tuple(sorted(claims, key=lambda each: each.host))
)


def document(partial: bool, claims: tuple[Claim, ...]) -> dict[str, Any]:
    """What a plan's file holds, as plain JSON has it."""
    hosts = [
        {
            "host": each.host,
            "identity": each.identity,
            "machine": each.machine,
            "digest": each.digest,
            "effects": each.effects,
            "dangers": each.risks,
            "changes": each.changes,
            "opens": each.opens,
            "asked": [[*key, value] for key, value in sorted(each.asked.items())],
            "seen": [[*key, value] for key, value in sorted(each.seen.items())],
        }
        for each in claims
    ]
    whole = {"format": plan_file.FORMAT, "mailprov": __version__, "partial": partial, "hosts": hosts}
    compact = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return whole | {"seal": hashlib.sha256(compact.encode()).hexdigest()}


@given(partial=st.booleans(), claims=PLANS)
def test_it_is_the_json_of_its_claims(partial: bool, claims: tuple[Claim, ...]) -> None:
    text = plan_file.dump(partial, claims[::-1])
    assert text == json.dumps(document(partial, claims), indent=1, ensure_ascii=False) + "\n"
    assert plan_file.load(text.encode("utf-8", "surrogatepass"), "x") == SavedPlan(partial, claims)


def refusal(data: bytes) -> str:
    with pytest.raises(KeptPlanError) as raised:
        plan_file.load(data, "x")
    assert raised.value.exit == 3
    return f"{raised.value.what}; {raised.value.why}"


@given(claims=PLANS, data=st.data())
def test_any_byte_counts(claims: tuple[Claim, ...], data: st.DataObject) -> None:
    good = plan_file.dump(False, claims).encode("utf-8", "surrogatepass").rstrip()
    at, new = data.draw(st.integers(0, len(good))), data.draw(st.binary(max_size=2))
    bad = good[:at] + new + good[data.draw(st.sampled_from([at, min(at + 1, len(good))])) :]
    if bad.rstrip() != good:
        refusal(bad)


ONE = Claim("h", "i", "m", "d", {}, (), (), {Key("file", "/a"): "1"}, {})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"hosts": [\n', b'"hosts":[\n'),
        (b'"partial": true', b'"partial": false,\n "partial": true'),
        (b'"mailprov"', b'"more": 1,\n "mailprov"'),
        (b'"opens": []', b'"opens": []\n'),
        (b'"opens": []', b'"opens": [ ]'),
        (b'"opens": [],', b'"opens": [],\n   "opens": [],'),
        (b'"i"', b'"\\u0069"'),
        (b"\n  }\n ]", b"\n  },\n ]"),
        (b"\n  {", b"\n  {\n  },\n  {"),
        (b"\n  {", b"\n  ,{"),
        (b"\n ],", b"\n ]"),
        (b"\n}", b"\n} {}"),
        (b"\n}", b',\n "x": 1\n}'),
    ],
)
def test_another_spelling_of_the_same_is_refused(old: bytes, new: bytes) -> None:
    text = plan_file.dump(True, [ONE]).encode()
    assert text.count(old) == 1
    assert "not as it was written" in (said := refusal(text.replace(old, new))) or "this is not a plan" in said


def test_hosts_are_in_order_and_each_there_once() -> None:
    for names in ("aa", "ba"):
        claims = tuple(replace(ONE, host=name) for name in names)
        text = json.dumps(document(False, claims), indent=1, ensure_ascii=False)
        assert "not as it was written" in refusal(text.encode())


@pytest.mark.parametrize("name", ["", "::stop-commands::x", "##[error]x", "a\nb", "\u202ea", " a", "a" * 300, "../a"])
def test_a_host_that_no_declaration_can_have_is_in_no_plan(name: str) -> None:
    """It would begin lines in the logs of pipelines, where a line may be a command."""
    assert "not as it was written" in refusal(plan_file.dump(True, [replace(ONE, host=name)]).encode())


def test_a_seal_that_is_not_its_own_is_told() -> None:
    text = plan_file.dump(True, [ONE]).encode()
    assert "its seal is not the SHA-256" in refusal(text.replace(b'"i"', b'"j"'))
    at = text.index(b'"seal"') + 10
    assert "its seal is not the SHA-256" in refusal(text[:at] + b"x" + text[at + 1 :])
    assert "its seal" not in refusal(text.replace(b'"machine": "m"', b'"machine": 1'))


# --- large ones


def fleet(hosts: int, things: int) -> list[Claim]:
    prints = {Key("file", f"/etc/{n}"): f"{n:064x}" for n in range(things)}
    change = {"action": "CREATE", "reason": "PENDING", "summary": "new file", "detail": "0" * 64}
    changes = [{"key": ["file", f"/etc/{n}"], **change, "effects": {}, "rows": {}} for n in range(things // 2)]
    return [
        replace(ONE, host=f"h{number:05}", asked=prints, seen=prints, changes=tuple(changes)) for number in range(hosts)
    ]


@pytest.mark.parametrize(("hosts", "things"), [(1000, 75), (50, 1000), (1, 30_000)], ids=["many", "some", "one"])
def test_what_an_honest_plan_holds_can_be_read(hosts: int, things: int) -> None:
    """100,000 fingerprints and more on some hosts or many, 60,000 on one."""
    claims = fleet(hosts, things)
    data = plan_file.dump(False, claims).encode()
    assert plan_file.bearable(data)
    assert plan_file.load(data, "x").hosts == tuple(claims)


def test_a_plan_takes_memory_by_what_one_host_holds() -> None:
    data = plan_file.dump(False, fleet(400, 60)).encode()
    tracemalloc.start()
    try:
        kept = plan_file.load(data, "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept.hosts) == 400
    assert peak < 2 * len(data), "and not ten times as much: no second text of all, no tree of all"


TOO_LARGE = {
    "host": ("HOST_LIMIT", 3000),
    "wide-host": ("HOST_LIMIT", 15_000),
    "host-marks": ("HOST_MARKS", 100),
    "wide": ("WIDE", 2),
    "marks": ("MARKS", 50),
    "bytes": ("LIMIT", 9000),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_too_large_is_not_looked_at(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = fleet(3, 20)
    if what.startswith("wide"):
        claims[1] = replace(claims[1], machine="\U0001f600")
    data = plan_file.dump(False, claims).encode()
    assert 20_000 < len(data) < 3 * 15_000
    assert plan_file.bearable(data) and plan_file.load(data, "x")
    monkeypatch.setattr(plan_file, *TOO_LARGE[what])
    monkeypatch.setattr("mailprov.engine.plan_file.json.loads", None)
    assert not plan_file.bearable(data)
    assert "this is too large for a plan" in refusal(data)
