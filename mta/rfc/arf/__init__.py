"""Feedback reports (ARF, RFC 5965): complaints about a single message, and why it failed to prove who sent it."""
