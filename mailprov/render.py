"""Templates to text. The only file that imports jinja2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from mailprov.assets import folder
from mailprov.encode import Encoded, EncodeError

if TYPE_CHECKING:
    from jinja2 import Environment

Render = Callable[[str, Mapping[str, object]], str]
"""a template's name and its values → its text"""


def unrendered(_template: str, _values: Mapping[str, object]) -> str:
    """No text, for whoever wants to know only which files there are."""
    return ""


def render(template: str, values: Mapping[str, object]) -> str:
    """The text of `templates/<template>` with `values` filled in.

    Raises EncodeError when a value that is printed has not been through an encoder, or is not there at all: both are
    mistakes of ours, which tests catch.
    """
    return _environment().get_template(template).render(values)


_OTHERS = ("gitops/", "mailprov/", "profiles/")
"""folders of files that no host gets"""


def prepare() -> None:
    """Compile every template of a host's files: work for the time in which a host has not answered yet."""
    environment = _environment()
    for name in environment.list_templates(filter_func=lambda name: not name.startswith(_OTHERS)):
        environment.get_template(name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(  # noqa: S701 - no HTML here; _only_encoded is the guard
        loader=FileSystemLoader(folder("templates")),
        undefined=StrictUndefined,
        finalize=_only_encoded,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _only_encoded(value: object) -> object:
    if isinstance(value, Encoded) or type(value) is int:
        return value
    raise EncodeError("a template prints a value that no encoder has seen", where=type(value).__name__)
