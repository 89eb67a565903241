"""The command line: starts the parts, and speaks to them as a client."""
