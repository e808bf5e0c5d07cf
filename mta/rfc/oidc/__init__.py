"""OpenID Connect as a relying party: sign-in by authorization code."""
