"""The Authenticated Received Chain of RFC 8617, on top of DKIM's signatures and keys."""
