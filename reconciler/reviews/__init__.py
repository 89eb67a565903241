"""Branches as changes under review: approved, merged, closed."""
