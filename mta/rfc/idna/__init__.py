"""RFC 5890 to 5893: domain names beyond ASCII."""
