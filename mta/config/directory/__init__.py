"""The `directory` object: its sources, what is trusted, and certificates that stand in connectors."""
