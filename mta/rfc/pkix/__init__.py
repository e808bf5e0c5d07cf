"""RFC 5280 certificates as facts, names matched by RFC 9525."""
