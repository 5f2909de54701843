"""What a person's mail program needs, as files (pure): settings that programs read, and a guide that people read.

Nothing here holds a password. `person` gives the files of one mailbox, `domain` what a domain publishes for programs
that look for their settings.
"""

from mailprov.profiles import hosted
from mailprov.profiles.bundle import Files, RenderContext, domain, person
from mailprov.profiles.paths import folder_of
from mailprov.profiles.settings import Profile, Server, of_domain, of_user, servers, without

__all__ = [
    "Files",
    "Profile",
    "RenderContext",
    "Server",
    "domain",
    "folder_of",
    "hosted",
    "of_domain",
    "of_user",
    "person",
    "servers",
    "without",
]
