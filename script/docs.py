"""Write anew what is generated: help pages, the manual page, keys of mail.yaml, causes, providers, examples/gitops.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; tests/test_docs.py keeps it true.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mailprov import __version__
from mailprov.commands import cli
from mailprov.commands.manual import manual
from mailprov.commands.root import every
from mailprov.declaration import schema
from mailprov.deliverability import RECEIVERS, Receiver
from mailprov.doctor import CAUSES, Cause
from mailprov.providers import CREDENTIALS, Provider, catalogue
from mailprov.workflows import new_repository

ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end -->)", re.S)


_SERVED = ("tls", "services", "firewall", "system_mail", "outgoing", "incoming", "sieve", "drift")
_TOLD_ELSEWHERE = {"hosts.NAME": _SERVED, "groups.NAME": (*_SERVED, "ssh", "become_password")}
"""mappings whose keys another table has"""


def help_pages() -> str:
    """`mailprov --help`, and that of each verb, 80 columns wide."""
    # made without running it: whatever else this process has to say meanwhile (warnings) is no part of a page
    return "\n" + "\n".join(_help_pages(cli, "mailprov", None)) + "\n"


def _help_pages(command: click.Command, name: str, above: click.Context | None) -> Iterator[str]:
    context = command.make_context(name, [], above, resilient_parsing=True, terminal_width=80)
    yield f"## {context.command_path}\n\n```text\n{context.get_help().rstrip()}\n```\n"
    if isinstance(command, click.Group):
        below = every() if above is None else command.commands
        for verb, found in sorted(below.items()):
            yield from _help_pages(found, verb, context)


def keys() -> str:
    """A table for each part of mail.yaml: key, type, default, meaning."""
    document = schema.document()
    parts: list[str] = []
    for name, node in document["properties"].items():
        if name == "mailprov":
            continue
        shape = _resolved(node)
        parts += [f"\n## {name}\n", f"\n{_escaped(shape['description'])}\n"]
        if example := shape.get("examples"):
            parts.append(f"\n```yaml\n{name}: {_flow(example[0])}\n```\n")
        if rows := list(_rows(shape, name)):
            parts += ["\n| key | value | default | meaning |\n|---|---|---|---|\n", *rows]
    return "".join([*parts, "\n"])


def _rows(shape: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(shape.get("additionalProperties"), dict):
        inner, path = _resolved(shape["additionalProperties"]), f"{path}.NAME"
        yield _row(path, inner)
        yield from _rows(inner, path)
    if isinstance(items := shape.get("items"), dict):
        yield from _rows(_resolved(items.get("else", items)), f"{path}[]")
        yield from _rows({**_resolved(items.get("then", {})), "required": ()}, f"{path}[]")
    for name, node in shape.get("properties", {}).items():
        inner = _resolved(node)
        yield _row(f"{path}.{name}", inner, required=name in shape.get("required", ()))
        if name not in _TOLD_ELSEWHERE.get(path, ()):
            yield from _rows(inner, f"{path}.{name}")


def _row(path: str, shape: Mapping[str, Any], *, required: bool = False) -> str:
    default = f"`{_flow(shape['default'])}`" if "default" in shape else "**required**" if required else ""
    return f"| `{path}` | {_value(shape)} | {default} | {_escaped(shape.get('description', ''))} |\n"


def _value(shape: Mapping[str, Any]) -> str:
    if "enum" in shape:
        return " or ".join(f"`{choice}`" for choice in shape["enum"])
    if "const" in shape:
        return f"`{shape['const']}`"
    kinds = shape.get("type", "")
    found = " or ".join(_kind(kind, shape) for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    inner = _resolved(shape["items"]) if isinstance(shape.get("items"), dict) else {}
    return f"{found} of {_value(inner)}" if "enum" in inner else found


def _kind(kind: str, shape: Mapping[str, Any]) -> str:
    if kind in ("integer", "number") and "minimum" in shape:
        return f"number ({shape['minimum']} to {shape['maximum']})"
    if kind == "boolean":
        return "`false`" if shape.get("not") == {"const": True} else "`true` or `false`"
    return {"object": "mapping", "array": "list", "string": "text"}.get(kind, kind)


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """`node` with what it refers to below it; its own words win."""
    if "$ref" not in node:
        return node
    target: Any = schema.document()
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**_resolved(target), **{key: value for key, value in node.items() if key != "$ref"}}


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and not re.match(r"[{*]", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*") if "`" not in text else text.replace("|", "\\|")


def files() -> str:
    """A line for each file of the package, in the words of its own first line."""
    package = ROOT / "mailprov"
    found = sorted([*package.rglob("*.py"), *package.rglob("*.sh")], key=lambda path: (path.parent, path.name))
    rows: list[str] = []
    for path in found:
        if path.parent != package and not any(path.parent == other.parent for other in found[: found.index(path)]):
            rows.append("")
        rows.append(f"- `{path.relative_to(ROOT)}`: {_first_words(path)}")
    return "\n" + "\n".join(rows) + "\n\n"


def _first_words(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        words = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
        words = " ".join(line.lstrip("# ") for line in comment if not line.startswith("#!")).partition(". ")[0] + "."
    return " ".join(words.split("\n\n")[0].split())


_DOORS = (
    ("On the way there", ("connect_errors.py", "sshconfig.py", "ssh.py")),
    ("Keys and known hosts", ("keyfile.py", "identities.py", "known_hosts.py")),
    ("Becoming root", ("sudo.py", "local.py")),
    ("What the host says", ("output.py", "channel.py", "session.py")),
)


def errors() -> str:
    """A table for each part of a connection: what is said when it fails, and what to do."""
    parts: list[str] = []
    for title, names in _DOORS:
        rows: dict[str, str] = {}
        for name in names:
            rows |= dict(_errors(ast.parse((ROOT / "mailprov/connection" / name).read_text(encoding="utf-8"))))
        parts += [f"\n### {title}\n\n| it says | what to do |\n|---|---|\n"]
        parts += [f"| {_escaped(what)} | {_escaped(fix)} |\n" for what, fix in rows.items()]
    return "".join([*parts, "\n"])


def _errors(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in sorted(ast.walk(module), key=lambda node: getattr(node, "lineno", 0)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ConnectError", "HostError", "Refused"):
            what = _words(node.args[0])
            if what.strip("…"):
                yield what, next((_words(word.value) for word in node.keywords if word.arg == "fix"), "")
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("_REFUSALS", "_WRONG_PASSWORD"):
            for inner in ast.walk(node.value):
                if isinstance(inner, ast.Tuple) and all(isinstance(each, ast.Constant) for each in inner.elts):
                    what, fix = (_words(each) for each in inner.elts[-2:])
                    yield what, fix


def _words(node: ast.expr) -> str:
    """The text of a string expression, with … or a name in capitals for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_words, node.values))
    if isinstance(node, ast.FormattedValue):
        shown = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
        if isinstance(shown, ast.Name | ast.Attribute):
            return ast.unparse(shown).rpartition(".")[2].lstrip("_").upper()
    if isinstance(node, ast.BinOp):
        return _words(node.left) + _words(node.right)
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (_words(node.body), _words(node.orelse))))
    return "…"


def causes() -> str:
    """What a doctor can name: a list to look things up in, then each cause with its evidence, cure and words."""
    rows = [f"| [{name}](#{name}) | {_escaped(each.title)} | {_seen_from(each)} |\n" for name, each in CAUSES.items()]
    parts = ["\n| cause | what it is | seen |\n|---|---|---|\n", *rows]
    for name, each in CAUSES.items():
        parts.append(
            f"\n### {name}\n\n{_sentence(each.title)}\n\n- known from: {each.known}\n- to do: {each.fix}\n"
            f"- tell the user: {each.user}\n- 告诉用户：{each.user_zh}\n"
        )
    return "".join([*parts, "\n"])


def _seen_from(cause: Cause) -> str:
    return ("on the host" if cause.needs_host else "from a client") + (" (no fault)" if cause.notice else "")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def providers() -> str:
    """What is documented of each mail provider: its servers, then how to log in and how to turn it on."""
    return "\n" + "\n".join("".join(_provider(each)) for each in catalogue().values())


def _provider(each: Provider) -> Iterator[str]:
    yield f"## {' / '.join(dict.fromkeys((each.name.en, each.name.zh)))}\n\n"
    yield f"`mailprov providers {each.id}`" + (f", for {', '.join(each.domains)}" if each.domains else "") + "\n\n"
    yield "| | server | port | TLS |\n|---|---|---|---|\n"
    for title, field in (("POP3", "pop3"), ("IMAP", "imap"), ("sending", "submission")):
        servers = getattr(each, field)
        doubt = _doubt(each, field)
        yield from (f"| {title} | {s.host}{doubt} | {s.port} | {_MODES[s.mode]} |\n" for s in servers or ())
        if not servers:
            yield f"| {title} | {'not known' if servers is None else 'not offered'}{doubt} | | |\n"
    kinds = " or ".join(CREDENTIALS[kind] for kind in each.credentials)
    told = [("log in with", kinds, "credentials"), ("turn it on", each.enable.en, "enable")]
    told += [("note", note.en, "notes") for note in each.notes]
    told += [("SPF", f"`include:{each.spf}`", "spf")] if each.spf else []
    if each.cluster:
        yield "\nWhich of these servers is right differs between customers: ask, do not guess.\n"
    yield "\n" + "".join(f"- {title}: {_escaped(text)}{_doubt(each, field)}\n" for title, text, field in told)
    yield f"- 开启方法：{_escaped(each.enable.zh)}\n"
    yield "".join(f"- 说明：{_escaped(note.zh)}\n" for note in each.notes)
    yield f"- sources, read on {each.checked_on}: {'; '.join(each.sources)}\n"


_MODES = {"tls": "from the start", "starttls": "STARTTLS"}


def _doubt(each: Provider, field: str) -> str:
    return " (unverified)" if field in each.unverified else ""


def receivers() -> str:
    """What each large receiver asks of senders, and where that is from."""
    return "\n" + "\n".join("".join(_receiver(each)) for each in RECEIVERS) + "\n"


def _receiver(each: Receiver) -> Iterator[str]:
    yield f"### {each.name}\n\nFor {each.addresses}. Bulk senders: {each.bulk}.\n\n"
    yield "| rule | of whom | told by | source |\n|---|---|---|---|\n"
    for rule in each.rules:
        told = " and ".join(" or ".join(f"`{about}`" for about in group) for group in rule.asks) or "not told by DNS"
        source = f"{rule.source}, {rule.checked_on}{'' if rule.verified else ' (not verified)'}"
        yield f"| {_escaped(rule.words)} | {'bulk senders' if rule.bulk else 'everybody'} | {told} | {source} |\n"


GENERATORS: Mapping[str, Callable[[], str]] = {
    "help": help_pages,
    "keys": keys,
    "files": files,
    "errors": errors,
    "causes": causes,
    "providers": providers,
    "receivers": receivers,
}


def pages() -> Mapping[Path, str]:
    """Every page with a generated part, as it should be."""
    found = {}
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        text = path.read_text(encoding="utf-8")
        if _PART.search(text):
            found[path] = _PART.sub(lambda part: part[1] + GENERATORS[part[2]]() + part[3], text)
    # What `mailprov init --gitops` writes is shown as an example, too.
    example = ROOT / "examples/gitops"
    found |= {example / name: content.decode("utf-8") for name, content in new_repository.files().items()}
    return {**found, ROOT / "docs/mailprov.1": manual(cli, every(), __version__, _released())}


def _released() -> str:
    """The day on which this version was released, by the changelog."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## \[{re.escape(__version__)}\] - (\d{{4}}-\d\d-\d\d)$", changelog, re.M)
    return found[1] if found else ""


def main() -> None:
    """Write the pages that are not as they should be."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
