"""Signed events of the forge that keeps the upstream: checked, kept, answered. The controller acts."""
