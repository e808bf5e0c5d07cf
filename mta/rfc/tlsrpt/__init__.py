"""SMTP TLS reporting (RFC 8460): requests found in the DNS, reports written and read."""
