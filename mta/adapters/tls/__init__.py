"""The one TLS engine, both directions: OpenSSL over memory BIOs; it shows facts and leaves judging to policy."""
