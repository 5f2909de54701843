"""How each kind of thing is managed: one file a kind, all of them pure.

Each is a `Kind` (model/managed.py): it holds its item, its queries to a host, the reader of the replies, what a
difference looks like to people, and the steps, each with its undo. It sees no other resource, no host, no declaration
and no role.
"""
