"""Decisions: pure functions over the configuration and facts. The same stem in pipeline/ does what is decided here."""
