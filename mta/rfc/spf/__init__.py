"""SPF, RFC 7208: whether a host may use a domain in HELO or MAIL FROM. `check` asks; `parse` and `macro` know."""
