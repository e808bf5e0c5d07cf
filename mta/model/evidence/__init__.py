"""Evidence: what is kept of a message and of each attempt, as types, and to and from JSON beside each other.

The JSON is what stands on the disk and in `mta trace --json`. Readers pass over keys they do not know (a later version
may have written them) and take what is missing, or of another type, for empty.
"""
