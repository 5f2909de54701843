"""mailprov: a declarative provisioner for mail servers."""

__version__ = "0.1.0"
