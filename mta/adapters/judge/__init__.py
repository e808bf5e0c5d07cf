"""Judging certificates of S/MIME: paths, usage, revocation, and the fetching that needs."""
