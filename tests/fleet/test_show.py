"""`mailprov show`: whatever is written into the file, it is text that harms nobody, or an error that says so."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fleet_in_memory import Fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kept_plan import SHELL, at, changed, few, kept, nodes, other, without, written

from mailprov.engine import plan_file
from mailprov.errors import Exit

FORMS = ("text", "json", "markdown")
HOSTILE = "\x1b[2J\x9b31m\r\x00\x7f\u202e\u2028\ud800</details>| `x` ![x](https://tracker.example) **b**"

Show = Callable[..., tuple[int, str]]


@pytest.fixture
def show(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Show:
    """Shows a file of these bytes, in every form if not told otherwise: the exit code, and all that was said."""

    def run(data: bytes, forms: Sequence[str] = FORMS) -> tuple[int, str]:
        (fleet.folder / "shown.json").write_bytes(data)
        capsys.readouterr()
        codes, told = [], ""
        for form in forms:
            codes.append(fleet.run("show", "shown.json", "--format", form, *(("--details",) if form == "text" else ())))
            said = capsys.readouterr()
            assert ("Error: " in said.err) is (codes[-1] != 0) and "mistake" not in said.err, said.err
            assert bool(said.out) is (codes[-1] == 0 or form != "text")
            if form == "json":
                assert json.loads(said.out)["report"] == ("error" if codes[-1] else "show")
            told += said.out + said.err
        assert len(set(codes)) == 1, codes
        assert steers(told) == []
        assert fleet.opened == fleet.begun == []
        return codes[0], told

    return run


def steers(told: str) -> list[str]:
    """Characters that a terminal would obey, or that hide others or turn them round."""
    return [c for c in told if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and c != "\n"]


def test_it_tells_what_the_plan_told(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a declaration, and without a host."""
    capsys.readouterr()
    assert changing.run("plan") == 0
    planned = capsys.readouterr().out
    for name in ("mail.yaml", "elsewhere"):
        (changing.folder / name).unlink(missing_ok=True)
    changing.gone = set(changing.hosts)
    run = changing.run
    changing.document = {}  # nothing of it is read
    assert run("show", "kept.json") == 0
    shown = capsys.readouterr().out
    assert changing.opened == []

    def told(text: str) -> list[str]:
        lines = [
            re.sub(" +", " ", line) for line in text.splitlines() if re.match(r"  [~+!-] |  effect|Plan:|h\d", line)
        ]
        return [line.replace(" (--details names them)", "").partition(" (Debian")[0] for line in lines]

    wanted = [line for line in told(planned) if "mail clients will warn" not in line]
    assert told(shown) == [line for line in wanted if not line.startswith(" ! nobody may")]
    assert any("--allow-removals" in line for line in told(shown)) and shown.count("Plan:") == 1
    assert "refuses it where it is not this one" in shown


def test_as_a_program_reads_it(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert changing.run("plan", "--format", "json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert changing.run("show", "kept.json", "--format", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["changed"], shown["partial"], shown["failed"]) == (True, False, [])
    for host, then in zip(shown["hosts"], planned["hosts"], strict=True):
        for key in ("host", "machine_id", "digest", "dangers", "effects"):
            assert host[key] == then[key], key
        assert host["changes"] == [{**change, "detail": None} for change in then["changes"]]
    assert changing.run("plan", "--limit", "h1", "--out", "some.json") == 0
    capsys.readouterr()
    assert changing.run("show", "some.json") == 0
    assert "some of the hosts that were declared are left out of this plan" in capsys.readouterr().out
    assert changing.run("show", "some.json", "--format", "markdown") == 0
    page = capsys.readouterr().out
    assert page.startswith("### mailprov: Plan: ") and "| update | `accounts /etc/dovecot/mailprov/accounts` |" in page


def test_a_plan_of_nothing(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert changing.run("apply", "kept.json", "--yes", "--allow-removals", "--allow-many", "--allow-closing") == 0
    assert changing.run("plan", "--out", "kept.json") == 0
    capsys.readouterr()
    assert changing.run("show", "kept.json") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("h1, h2\n  no changes: ") and "No changes on 2 hosts." in shown


# --- whatever is in it


@pytest.mark.parametrize("renewed", [True, False], ids=["sealed-anew", "seal-as-it-was"])
def test_any_one_leaf(changing: Fleet, show: Show, renewed: bool) -> None:
    document = kept(changing)
    codes: list[int] = []
    for n, path in enumerate(few(document)):
        if path == ("seal",) and renewed:
            continue
        value = at(document, path)
        news = [new for new in (*other(value), HOSTILE, "x" * 100_000) if type(new) is not type(value) or new != value]
        texts = [changed(document, path, news[n % len(news)]), *([without(document, path)] if n % 3 == 0 else [])]
        # What is refused for its seal is so before any form is asked for.
        forms = FORMS if renewed else FORMS[n % 3 :][:1]
        codes += [show(written(text, renewed=renewed), forms)[0] for text in texts]
    assert set(codes) == ({Exit.DONE, Exit.INVALID} if renewed else {Exit.INVALID})
    assert len(codes) > 300


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_leaf_is_anything(changing: Fleet, show: Show, data: st.DataObject) -> None:
    document = kept(changing)
    path = data.draw(st.sampled_from([path for path in nodes(document) if path != ("seal",)]))
    inner = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from((SHELL, HOSTILE))
    new = data.draw(
        st.recursive(inner, lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(), more, max_size=3))
    )
    renewed = data.draw(st.booleans())
    code, _ = show(written(changed(document, path, new), renewed=renewed))
    same = json.dumps(new, sort_keys=True) == json.dumps(at(document, path), sort_keys=True)
    assert code == Exit.INVALID or renewed or same


def test_what_it_says_is_seen_and_means_nothing(changing: Fleet, show: Show) -> None:
    document: dict[str, Any] = kept(changing)
    host = document["hosts"][0]
    host["identity"] = host["dangers"][0]["text"] = HOSTILE
    host["changes"][0] |= {"summary": HOSTILE, "key": [HOSTILE, HOSTILE]}
    host["effects"] = {HOSTILE: "RESTART"}
    code, told = show(written(document, renewed=True))
    assert code == 0
    assert "\\u001b[2J" in told and "\\u202e" in told
    page = told.split("### mailprov")[1].splitlines()
    pictures = [line for line in page if "![x](https" in line and not line.startswith("<details><summary><code>")]
    assert pictures == [], "no picture is fetched by whoever reads it"


def test_what_is_long_is_cut_in_sight(changing: Fleet, show: Show) -> None:
    document: dict[str, Any] = kept(changing)
    document["hosts"][0]["changes"][0]["summary"] = "x" * 1_000_000
    code, told = show(written(document, renewed=True))
    assert code == 0
    assert all(len(line) < 2_000 for line in told.splitlines() if '"summary": "xxx' not in line)
    assert "x…" in told


def test_that_it_was_changed_is_said(changing: Fleet, show: Show) -> None:
    data = (changing.folder / "kept.json").read_bytes()
    assert show(data)[0] == 0
    code, told = show(data.replace(b"RELOAD", b"NONE", 1))
    assert code == Exit.INVALID and told.count("its seal is not the SHA-256 of what it holds") >= len(FORMS)
    code, told = show(data.replace(b"RELOAD", b"reload", 1))
    assert code == Exit.INVALID and "the plan is not as it was written" in told and "SHA-256" not in told
    code, told = show(data[: len(data) // 2])
    assert code == Exit.INVALID and "or only a part of one" in told
    code, told = show(data.replace(plan_file.__version__.encode(), b"9.9.9"))
    assert code == Exit.INVALID and "mailprov 9.9.9 made it" in told
    assert show(b"")[0] == show(b"mailprov: 1\n")[0] == Exit.INVALID


def test_it_is_a_plain_file_of_bearable_size(fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "huge.json").touch()
    with (tmp_path / "huge.json").open("r+b") as file:
        file.truncate(plan_file.LIMIT + 1)
    (tmp_path / "brackets.json").write_bytes(b"[" * (plan_file.MARKS + 1))
    (tmp_path / "loop.json").symlink_to("loop.json")
    for name in ("huge.json", "brackets.json", "loop.json", "absent.json", ".", "/dev/zero"):
        assert fleet.run("show", name) == Exit.INVALID, name
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("Error: ")
    assert fleet.run("show") == Exit.ERROR
