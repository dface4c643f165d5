"""Search spaces: YAML, its choices, and widths solved within a budget. Needs no torch."""
