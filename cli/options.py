"""The flags that several commands share. Their values are checked with the other settings, so they are text."""

from __future__ import annotations

from typing import Annotated

import typer

Data = Annotated[
    str | None,
    typer.Option("--data", metavar="FOLDER", help="The data folder (WEFT_DATA).", show_default=False),
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Where to listen (WEFT_HOST). Default: 127.0.0.1.",
        show_default=False,
    ),
]
Port = Annotated[
    str | None,
    typer.Option("--port", metavar="NUMBER", help="The port (WEFT_PORT). Default: 8080.", show_default=False),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Worker processes (WEFT_WORKERS). Default: cores - 1.",
        show_default=False,
    ),
]
Processes = Annotated[
    str | None,
    typer.Option(
        "--processes", metavar="N", help="How many (WEFT_WORKERS). Default: cores - 1.", show_default=False
    ),
]
Threads = Annotated[
    str | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="Threads in each worker (WEFT_THREADS). Default: 16.",
        show_default=False,
    ),
]
Upstream = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="URL",
        help="Mirror this repository (WEFT_UPSTREAM).",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
