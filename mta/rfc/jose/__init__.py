"""JOSE: tokens signed in JSON (JWS, JWT), their keys (JWK) and the proof that a client holds one (DPoP)."""
