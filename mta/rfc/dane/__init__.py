"""DANE for SMTP (RFC 6698, 7671, 7672): what TLSA records say of a host's certificate."""
