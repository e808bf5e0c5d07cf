"""One-time passwords out of a shared secret."""
