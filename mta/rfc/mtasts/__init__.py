"""MTA-STS (RFC 8461): which hosts take mail of a domain, and that they do so with a certificate of theirs."""
