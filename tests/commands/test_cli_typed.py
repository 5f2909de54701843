"""What no test types does not work: a test that boots hosts or starts a process types each verb and each option."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import click
import pytest

from mailprov.commands.root import every

TESTS = Path(__file__).parents[1]
SHARED = ("file", "limit", "confined", "identity", "json_file", "markdown_file")
"""options that are one piece of code for all verbs: which declaration, which hosts, held to its folder, what opens it;
files that a report goes to (tests/commands/test_outputs.py)"""
REAL = ("mark.host", "sys.executable", "LabHost")
"""by one of these words a test file is known that boots hosts or starts processes"""


def words(node: ast.AST, constants: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The strings that a sequence or a call's arguments hold, names of such sequences resolved."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            yield text
        case ast.Name(id=name):
            yield from constants.get(name, ())
        case ast.Starred(value=value):
            yield from words(value, constants)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from words(part, constants)
        case ast.IfExp(body=one, orelse=other):
            yield from words(one, constants)
            yield from words(other, constants)
        case ast.BinOp(left=one, right=other):
            yield from words(one, constants)
            yield from words(other, constants)


@cache
def typed() -> Mapping[str, frozenset[str]]:
    """By verb, the options that are typed after it."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob("*.py")}
    constants: dict[str, tuple[str, ...]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constants[node.targets[0].id] = constants.get(node.targets[0].id, ()) + tuple(words(node.value, {}))
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees.items():
        if path == Path(__file__) or not any(word in path.read_text(encoding="utf-8") for word in REAL):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                told = [word for argument in node.args for word in words(argument, constants)]
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                _note(found, [called.replace("_", "-"), *told])
                _note(found, told)
            elif isinstance(node, ast.Tuple | ast.List):
                _note(found, list(words(node, constants)))
    return {verb: frozenset(options) for verb, options in found.items()}


def _note(found: dict[str, set[str]], told: list[str]) -> None:
    verbs = [at for at, word in enumerate(told) if word in every()]
    if verbs:
        found[told[verbs[0]]].update(word.partition("=")[0] for word in told[verbs[0] + 1 :])


def commands() -> Iterator[tuple[str, click.Command]]:
    for verb, command in every().items():
        yield verb, command
        for name, below in command.commands.items() if isinstance(command, click.Group) else ():
            yield f"{verb} {name}", below


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_every_verb_and_option_is_typed(path: str, command: click.Command) -> None:
    verb, _, below = path.partition(" ")
    there = typed().get(verb)
    assert there is not None and (not below or below in there), f"no test types `mailprov {path}`"
    options = [option for option in command.params if isinstance(option, click.Option) and option.name not in SHARED]
    missing = [option.opts[-1] for option in options if not there.intersection((*option.opts, *option.secondary_opts))]
    assert missing == [], f"no test types these of `mailprov {path}`"
