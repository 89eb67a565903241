"""The HTTP face: webhooks, Git, the API. Shows what the folders below decide."""
