"""Runs patterns with the cases of their tests: the real engine in this process, stubs, and a frozen clock."""
