"""What people log in with, in a guide's words: a password of ours, or what their provider wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from mailprov.profiles.settings import Profile

Kind = Literal["password", "authorization_code", "client_password", "app_password", "oauth2"]

_ORDER: Final[tuple[Kind, ...]] = ("password", "authorization_code", "client_password", "app_password")


def _typed(profile: Profile) -> list[Kind]:
    """What may be typed in, the usual one first."""
    return [kind for kind in _ORDER if kind in profile.credentials]


def facts(profile: Profile) -> dict[str, bool]:
    """What `if` in a language file may name of it."""
    typed, hosted = _typed(profile), profile.provider is not None
    browser = "oauth2" in profile.credentials
    return {
        "hosted": hosted,
        "own": not hosted,
        "typed": bool(typed),
        "browser_only": not typed,
        "browser_too": browser and bool(typed),
        "made": hosted and bool(typed) and "password" not in typed and not browser,
        "either": hosted and "password" in typed and len(typed) > 1,
        "local_part": profile.receives.local_part,
    }


def settings(profile: Profile, words: Mapping[str, Any]) -> dict[str, str]:
    """The words for it in the language file `words`."""
    known = words["credentials"]
    typed = _typed(profile)
    kind = typed[0] if typed else "oauth2"
    provider = profile.provider
    return {
        "secret": known[kind]["yours"],
        "other": known[typed[1]]["label"] if len(typed) > 1 else "",
        "provider": str(getattr(provider.name, words["tag"])) if provider else "",
        "credential": known[kind]["label"],
    }


def note(profile: Profile) -> str:
    """The key of what is said of it in the table of the person's data."""
    if profile.provider is None:
        return "password_note"
    said = facts(profile)
    return "browser_note" if said["browser_only"] else "either_note" if said["either"] else "made_note"


def documented(profile: Profile, tag: str) -> list[str]:
    """What the provider documents, in the language `tag`: how to turn it on, and what else there is to know."""
    provider = profile.provider
    return [str(getattr(text, tag)) for text in (provider.enable, *provider.notes)] if provider else []
