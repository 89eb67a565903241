"""Secrets: kept encrypted in the database, or found in files, environment variables or Vault.

`open_book` gives what answers for all of them. Imports `schemas` and its neighbours in `store`.
"""

from store.secrets.book import SecretBook
from store.secrets.errors import SecretMissing, SecretsUnavailable, SecretUnreadable
from store.secrets.places import SecretPlaces, open_book

__all__ = [
    "SecretBook",
    "SecretMissing",
    "SecretPlaces",
    "SecretUnreadable",
    "SecretsUnavailable",
    "open_book",
]
