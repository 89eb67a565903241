"""Whether a call of a webhook is from whom its `verify` names: over the bytes as they came, before they are parsed.

A rule and its secrets become a `Verifier` once; it judges each call without I/O. Only the keys of a JWT's issuer
are fetched (`jwks.py`).
"""
