"""Configurations of other programs in, connectors.yaml out, with a list of what is different."""
