"""The systems that mailprov manages: one file each, which alone names them (pure)."""
