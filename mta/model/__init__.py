"""Frozen facts that every floor may speak of; standard library only."""
