"""Each file in cases/ is a declaration with what shall be said about it, in comments at its end.

    # expect: 3:5 words        a complaint at line 3, column 5, whose text (cure included) holds the words
    # warn: 3:5 words          a warning
    # lack: 3:5 words          a secret that is not here, which is told where nothing else is wrong

Nothing else may be said. A file without `expect` must load. Beside the declaration lie certs/ (see conftest.py),
`secret`, `hash`, `empty`, `binary` and `lines`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from spec_tools import ENVIRON, HASH, NOW

from mailprov.declaration import load
from mailprov.errors import SpecError
from mailprov.workflows.secrets import EVERY, lacking

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
EXPECTATION = re.compile(r"# (expect|warn|lack): (\d+:\d+) (.+)")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path, with_certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_certificates
    (folder / "secret").write_text("hunter2 hunter2\n")
    (folder / "hash").write_text(HASH + "\n")
    (folder / "empty").write_text("\n")
    (folder / "binary").write_bytes(b"\xff\x00")
    (folder / "lines").write_text("one\ntwo\n")
    text = case.read_text(encoding="utf-8").replace("$HASH", HASH)
    (folder / "mail.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    wanted: dict[str, list[str]] = {"expect": [], "warn": [], "lack": []}
    for kind, place, words in EXPECTATION.findall(text):
        wanted[kind].append(f"mail.yaml:{place}: {words}")
    try:
        spec = load(Path("mail.yaml"), environ=ENVIRON, now=NOW)
        said = {"expect": [], "warn": list(spec.warnings), "lack": [*map(str, lacking(spec, EVERY))]}
    except SpecError as error:
        said = wanted | {"expect": [str(diagnostic) for diagnostic in error.errors]}
        assert "hunter2" not in str(error)
    for kind, sayings in said.items():
        left = list(sayings)
        for want in wanted[kind]:
            place, _, words = want.partition(": ")
            match = next((each for each in left if each.startswith(f"{place}: ") and words in each), None)
            assert match is not None, f"nobody said {want!r}; left:\n" + "\n".join(left)
            left.remove(match)
        assert not left, "unexpected:\n" + "\n".join(left)
