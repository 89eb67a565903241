"""Webhooks: `ANY /hooks/{token}[/…]` becomes a run."""
