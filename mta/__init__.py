"""A mail transfer agent that relays under one contract per partner."""

__version__ = "0.1.0"
