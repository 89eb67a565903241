"""What Weft claims to reach, measured: `python -m bench`, or one table by `python -m bench.NAME`."""
