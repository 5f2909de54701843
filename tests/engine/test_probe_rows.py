"""What a host tells of a table that differs: dash and awk say which parts differ, as Python does, and tell no more."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailprov.engine import probe
from mailprov.errors import HostError
from mailprov.model import Query
from mailprov.resources import rows
from mailprov.standard import REGISTRY

HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "a" * 86
SCRIPT = probe.functions(REGISTRY) + '\n"$@"\n'
READERS = {":": "without_own_passwords", " ": "cat"}


def ask(path: Path, query: Query) -> str:
    """What dash says."""
    words = ("dash", "-c", SCRIPT, "probe", query.function, *query.words)
    done = subprocess.run(words, capture_output=True, check=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
    assert done.stderr == b""
    return done.stdout.decode(errors="replace")


def seen(path: Path, separator: str, desired: rows.Table | None) -> tuple[dict[str, str], str]:
    """The live rows, and all that travelled."""
    text = ask(path, rows.query(str(path), separator, desired, READERS[separator]))
    return dict(rows.answered(text, separator, desired).reveal()), text


def test_no_password_of_ones_own_travels(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    own = f"bob@example.com:{HASH}:::initial:::"
    path.write_text(f"alice@example.com:{HASH}:::managed:::\n{own}\n")
    found, text = seen(path, ":", None)
    assert list(found) == ["alice@example.com", "bob@example.com"]
    assert text.count(HASH) == 1
    assert found["bob@example.com"] == own.replace(HASH, "")


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    assert seen(tmp_path / "missing", ":", None) == ({}, "")


@pytest.mark.parametrize("text", [f"0\nbob@example.com:{HASH}\n", f"bob@example.com:{HASH}\n"])
def test_what_is_no_answer_is_not_shown(text: str) -> None:
    with pytest.raises(HostError, match="garbled") as caught:
        rows.answered(text, ":", None)
    assert HASH not in f"{caught.value} {caught.value.__cause__}"


KEYS = st.text("ab@x.-é", min_size=1, max_size=6)
ROWS = st.dictionaries(KEYS, st.sampled_from(["OK", "b@x", "c@x"]), max_size=12)
ODD = st.sampled_from(["", "# note", "no-value", " a OK", "a@x  OK ", "(line 1) OK", "a\tb OK"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(wanted=ROWS, there=ROWS, odd=st.lists(ODD, max_size=3), common=ROWS)
def test_the_live_rows_whatever_differs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, str],
    there: dict[str, str],
    odd: list[str],
    common: dict[str, str],
) -> None:
    monkeypatch.setattr(rows, "ROWS_A_PART", 3)
    plain = {key: value for key, value in (wanted | common).items() if key.isascii()}
    desired = rows.table([f"{key} {value}" for key, value in plain.items()], " ")
    live = "".join(f"{line}\n" for line in [*odd, *sorted(f"{key} {value}" for key, value in (there | common).items())])
    path = tmp_path / "map"
    path.write_text(live, encoding="utf-8")
    found, text = seen(path, " ", desired)
    assert found == rows.parse(live, " ").rows
    assert rows.answered(text, " ", desired) == rows.parse(live, " ")


def test_what_travels_grows_with_the_change(tmp_path: Path) -> None:
    lines = [f"user{n}@example.com user{n}@example.com" for n in range(20_000)]
    desired = rows.table(lines, " ")
    path = tmp_path / "map"
    path.write_text("".join(f"{line}\n" for line in sorted(lines) if not line.startswith("user777@")))
    found, text = seen(path, " ", desired)
    assert set(desired.reveal()) - set(found) == {"user777@example.com"} and len(found) == len(lines) - 1
    assert len(text) < path.stat().st_size / 15
