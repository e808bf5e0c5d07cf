"""Authentication-Results, RFC 8601: written for what we found, and recognised where others write in our name."""
