"""OAuth 2.0 as a client of an issuer of tokens (RFC 6749)."""
