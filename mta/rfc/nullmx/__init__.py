"""The null MX: RFC 7505."""
