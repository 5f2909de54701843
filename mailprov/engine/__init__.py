"""The way from two states to a plan, and from a plan to a transaction on a host (pure)."""
