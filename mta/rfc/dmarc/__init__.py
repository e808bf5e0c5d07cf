"""DMARC, RFC 9989: whether the author's domain vouches for a message by SPF or DKIM, and what it asks for if not."""
