"""RFC 5322 header fields and RFC 2045 structure, found in the original bytes."""
