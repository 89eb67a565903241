"""The HTTP API: what is live, what ran, and starting, cancelling and repeating runs."""

from web.api.api import Api

__all__ = ["Api"]
