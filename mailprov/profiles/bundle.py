"""All the files of one mailbox, and of one domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from mailprov import encode
from mailprov.model import Logo
from mailprov.profiles import apple, discovery, guide, qr
from mailprov.profiles.paths import folder_of
from mailprov.profiles.settings import ANYBODY, Profile
from mailprov.profiles.snippets import snippets
from mailprov.render import Render

LONGEST_IN_TABLE: Final = 40
"""characters of a name that nginx takes with server_names_hash_bucket_size 64, the default of most processors"""

Files = Mapping[str, bytes]
"""path below the folder that is asked for → content"""


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What files are made with, the same for everybody.

    `typeset` makes a PDF of a guide, `sign` signs a .mobileconfig (None leaves it unsigned), `languages` are the
    guide's, each a language file that was read, `helpdesk` is whom it says to ask, `company` and `logo` whose it is.
    """

    render: Render
    typeset: Callable[[Mapping[str, object]], bytes]
    languages: tuple[guide.Content, ...]
    made: date
    sign: Callable[[bytes], bytes] | None = None
    helpdesk: str = ""
    company: str = ""
    logo: Logo | None = None


def person(profile: Profile, means: RenderContext) -> Files:
    """What one mailbox's owner gets. Raises EncodeError for a text that one of the files cannot hold."""
    name = folder_of(profile.address)
    device = apple.mobileconfig(profile, means.company)
    account = qr.payload(profile)
    code = qr.images(account) if account else None
    occasion = guide.GuideContext(
        means.made,
        means.helpdesk,
        f"{name}.mobileconfig" if device else "",
        means.sign is not None,
        code.svg if code else b"",
        means.company,
        means.logo,
    )
    files = {
        "autoconfig.xml": discovery.autoconfig(profile, means.render),
        **({"autodiscover.xml": discovery.autodiscover(profile, means.render)} if profile.takes_password else {}),
        **dict(snippets(profile, means.render)),
    }
    if device:
        files[occasion.file] = means.sign(device) if means.sign else device
    if code:
        files["thunderbird-android.png"] = code.png
    for words in means.languages:
        made = guide.content(profile, words, occasion)
        files[f"guide.{words['tag']}.html"] = guide.html(made, means.render)
        files[f"guide.{words['tag']}.pdf"] = means.typeset(made)
    return files


def domain(profile: Profile, means: RenderContext) -> Files:
    """The static files that a domain's web servers publish: a folder for each name in DNS, and how to use them.

    `profile` is of_domain's. A program asks for autoconfig. or autodiscover. before the domain, or for the domain.
    """
    return dict(_published(profile, means.render))


def _published(profile: Profile, render: Render) -> Iterator[tuple[str, bytes]]:
    here = profile.domain
    folder = folder_of(here)
    config = discovery.autoconfig(profile, render)
    yield f"autoconfig.{folder}/mail/config-v1.1.xml", config
    yield f"{folder}/.well-known/autoconfig/mail/config-v1.1.xml", config
    if profile.takes_password:
        yield f"autodiscover.{folder}/autodiscover/autodiscover.xml", discovery.autodiscover(profile, render)
    names = [f"{name}.{here}" for name in ("autoconfig", "autodiscover")]
    values = {
        "domain": encode.word(here),
        "folder": encode.word(folder),
        "host": encode.word(profile.receives.host),
        "anybody": encode.xml(ANYBODY),
        "autodiscover": profile.takes_password,
        "server_names": [_server_name(name) for name in names],
    }
    yield f"{folder}.txt", render("profiles/publish.txt", values).encode()
    yield f"{folder}.nginx.conf", render("profiles/nginx.conf", values).encode()


def _server_name(name: str) -> encode.Encoded:
    """A name for nginx's `server_name`. A long one does not fit into its table of names, and a pattern is in none."""
    whole = encode.word(name)
    return whole if len(name) <= LONGEST_IN_TABLE else encode.Encoded("~^" + whole.replace(".", r"\.") + "$")
