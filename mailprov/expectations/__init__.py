"""What a team expects of its mail hosts and allows in a plan: read from YAML, and judged by what is known (pure)."""
