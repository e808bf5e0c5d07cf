"""SMIMEA records: where they stand and what they vouch for (RFC 8162)."""
