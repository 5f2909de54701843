"""A secret shows itself to nobody who did not ask by name, also from within whatever holds it."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from pprint import pformat

import pytest
from simulated_host import SimulatedHost, declare

from mailprov import render
from mailprov.checks import Account
from mailprov.encode import Encoded, EncodeError
from mailprov.engine.manifest import head
from mailprov.engine.plan import prints, steps
from mailprov.engine.transaction import Work, checks, settings
from mailprov.engine.transaction import steps as records
from mailprov.model import Password, Secret, Tls, User
from mailprov.resources.accounts import accounts
from mailprov.resources.files import text_file
from mailprov.standard import REGISTRY
from mailprov.workflows.survey import survey

CANARY = "canary-5ecret"
HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "c" * 86
SECRET = Secret(CANARY)

SHOWN: dict[str, Callable[[object], str]] = {
    "str": str,
    "repr": repr,
    "format": format,
    "f-string": lambda value: f"{value}{value!r}{value!s}{value!a}",
    "format with a width": lambda value: f"{value!s:>40}",
    "%-format": lambda value: "%s %r %a" % (value, value, value),  # noqa: UP031
    "str.format": lambda value: "{0} {0!r}".format(value),  # noqa: UP032
    "pformat": pformat,
    "ascii": ascii,
}


def holders() -> dict[str, object]:
    """Everything that may hold a secret."""
    password = Password("initial", "env BOB", Secret(CANARY), Secret(CANARY))
    user = User("bob@example.com", password)
    return {
        "secret": SECRET,
        "list": [SECRET],
        "dict": {"password": SECRET},
        "password": password,
        "user": user,
        "tls": Tls("file", chain="-----BEGIN", key=SECRET),
        "account": Account("bob@example.com", SECRET),
        "accounts": accounts("/x", {"bob@example.com": Secret(f"bob@example.com:{CANARY}")}, lambda _: SECRET),
        "file": text_file("/x", CANARY, secret=True),
    }


@pytest.mark.parametrize("way", SHOWN)
@pytest.mark.parametrize("holder", holders())
def test_nothing_shows_it(way: str, holder: str) -> None:
    held = holders()[holder]
    try:
        shown = SHOWN[way](held)
    except TypeError as error:  # a format that the holder does not know
        shown = str(error)
    assert CANARY not in shown


def test_a_plan_and_its_steps_do_not_show_it(tmp_path: Path) -> None:
    users = [
        {"address": "alice@example.com", "password": {"hash": HASH}},
        {"address": "bob@example.com", "password": {"initial": {"env": "BOB_INITIAL"}}},
    ]
    spec = declare(tmp_path, {"users": users}, {"BOB_INITIAL": CANARY})
    surveyed = survey(spec, spec.hosts["mail1"], SimulatedHost().host())
    acts = steps(REGISTRY, surveyed.plan)
    assert any(HASH.encode() in (step.payload or b"") for step in acts)
    manifest = head("id", prints(surveyed.plan.desired), {})
    work = Work(REGISTRY, surveyed.plan, acts, surveyed.ask, "id", "meta", manifest)
    shown = [repr(spec), repr(surveyed), repr(acts), str(surveyed.plan), pformat(surveyed), manifest]
    shown += [records(work), checks(work), settings(work), repr(surveyed.plan.desired), surveyed.ask.decode()]
    for text in shown:
        assert CANARY not in text
        assert "saltsalt" not in text
        assert "$6$" not in text


def test_json_refuses_it() -> None:
    for encode in (json.dumps, lambda value: json.dumps({"password": value})):
        with pytest.raises(TypeError) as caught:
            encode(SECRET)
        assert CANARY not in str(caught.value)
    assert CANARY not in json.dumps({"password": SECRET}, default=str)


def test_it_is_not_written_by_pickle() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(holders()["user"], protocol)
        assert CANARY not in str(caught.value)


def test_a_copy_is_as_good() -> None:
    user = holders()["user"]
    assert copy.deepcopy(user) == user
    assert CANARY not in repr(asdict(user))  # type: ignore[call-overload]


def test_logging_and_tracebacks_do_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    def fail(secret: Secret) -> None:
        logging.getLogger("mailprov").error("with %s and %r", secret, secret)
        raise ValueError(secret)

    with pytest.raises(ValueError, match="<secret>") as caught:
        fail(SECRET)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert CANARY not in "".join(told.format())
    assert CANARY not in caplog.text
    assert "<secret>" in caplog.text


def test_it_is_not_a_string() -> None:
    assert not isinstance(SECRET, str)
    for use in (lambda: "x" + SECRET, lambda: "".join([SECRET]), lambda: len(SECRET), lambda: list(SECRET)):  # type: ignore
        with pytest.raises(TypeError) as caught:
            use()
        assert CANARY not in str(caught.value)
    with pytest.raises(AttributeError):
        SECRET.text = "x"  # type: ignore[attr-defined]


def test_it_equals_only_its_like() -> None:
    assert Secret(CANARY) == SECRET
    assert hash(Secret(CANARY)) == hash(SECRET)
    assert Secret("other") != SECRET
    assert SECRET != CANARY
    assert SECRET.reveal() == CANARY
    assert SECRET.digest() not in repr(SECRET)


@pytest.mark.parametrize(
    "value", [CANARY, SECRET, b"bytes", 1.5, ["a"], ("a",), {"a": 1}, object(), Encoded("a") + "b"]
)
def test_templates_print_only_what_an_encoder_has_seen(value: object, template: Callable[[str], str]) -> None:
    with pytest.raises(EncodeError) as caught:
        render.render(template("{{ value }}"), {"value": value})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{{ a ~ b }}", {"a": Encoded("a"), "b": "b"}),
        ("{{ a | upper }}", {"a": Encoded("a")}),
        ("{{ items | join(' ') }}", {"items": (Encoded("a"), "b")}),
        ("{% for item in items %}{{ item }}{% endfor %}", {"items": (Encoded("a"), "b")}),
        ("{{ missing }}", {}),
        ("{{ none }}", {"none": None}),
    ],
)
def test_templates_print_no_derived_and_no_missing_value(
    text: str, values: dict[str, object], template: Callable[[str], str]
) -> None:
    with pytest.raises(EncodeError, match="no encoder"):
        render.render(template(text), values)


def test_templates_print_encoded_values_and_numbers(template: Callable[[str], str]) -> None:
    name = template("{{ name }}:{{ port }}\n")
    assert render.render(name, {"name": Encoded("{{ 7*7 }}"), "port": 25}) == "{{ 7*7 }}:25\n"


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a template, and gives its name to render()."""
    monkeypatch.setattr(render, "folder", lambda name: tmp_path)
    render._environment.cache_clear()

    def write(text: str) -> str:
        (tmp_path / "t").write_text(text)
        return "t"

    yield write  # type: ignore[misc]
    render._environment.cache_clear()
