"""Does a document have the schema's shape? If not, what is wrong, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mailprov.declaration import schema
from mailprov.declaration.schema_messages import Departure, Path, Problem, problems_of

MAX_PROBLEMS: Final = 1000
"""problems of one document before looking stops"""

MAIN: Final = ""
TRUSTED: Final = "trusted_part"
PART: Final = "part"

_LISTS: Final = (("users", "user"), ("aliases", "alias"), ("domains", "domain"))


def problems(root: Any, name: str) -> list[Problem]:
    """Where `root` departs from the schema: of a whole declaration (MAIN), or of an included file (TRUSTED or PART).

    At most MAX_PROBLEMS.
    """
    return _distinct(_problems(root, name))


def problems_in(root: Any, document: dict[str, Any]) -> list[Problem]:
    """Where `root` departs from another schema of ours, in the same words. At most MAX_PROBLEMS."""
    return _distinct(_departing(document, document["$defs"], root, ()))


def _distinct(problems: Iterator[Problem]) -> list[Problem]:
    # jsonschema reports each missing key with the whole list of them, so the same problem comes more than once
    found: dict[Problem, None] = {}
    for problem in problems:
        found[problem] = None
        if len(found) >= MAX_PROBLEMS:
            break
    return list(found)


def _problems(root: Any, name: str) -> Iterator[Problem]:
    if isinstance(root, dict):
        rest = dict(root)
        for key, kind in _LISTS:
            if isinstance(root.get(key), list):
                # the long lists go through the fast acceptor; jsonschema sees only what that refuses
                rest[key] = []
                kind = "part_user" if name == PART and kind == "user" else kind
                accepts = schema.acceptor(kind)
                for number, item in enumerate(root[key]):
                    if kind == "user" and isinstance(item, dict) and "from_csv" in item:
                        if not schema.acceptor("staff_list")(item):
                            yield from _explained("staff_list", item, (key, number))
                    elif not accepts(item):
                        yield from _explained(kind, item, (key, number))
        root = rest
    if not schema.acceptor(name)(root):
        yield from _explained(name, root, ())


def _explained(name: str, value: Any, path: Path) -> Iterator[Problem]:
    definitions = schema.document()["$defs"]
    wanted = schema.document() if not name else {"$defs": definitions, "$ref": f"#/$defs/{name}"}
    return _departing(wanted, definitions, value, path)


def _departing(wanted: dict[str, Any], definitions: dict[str, Any], value: Any, path: Path) -> Iterator[Problem]:
    from jsonschema import Draft202012Validator  # a costly import that a sound declaration never needs

    for error in Draft202012Validator(wanted).iter_errors(value):
        broken = error.schema if isinstance(error.schema, dict) else {}
        where = (*path, *error.absolute_path)
        keyword, asked = str(error.validator), error.validator_value
        yield from problems_of(Departure(where, keyword, asked, error.instance, broken, definitions))
