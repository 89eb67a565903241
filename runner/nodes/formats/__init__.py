"""Text formats and the JSON that they carry: one module per format, each reads and writes.

Errors are the `NodeError`s `parse_error` and `format_error`; their messages name the line and column, or the
place in the value, where there is one.
"""
