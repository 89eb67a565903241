"""`weft validate`: everything that is wrong with the files of a work tree; no server needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandError
from cli.options import Json
from cli.printing import print_json
from schemas.documents import PLACES, ParsedFile, is_document_path, parse_file
from schemas.problems import Problem
from schemas.rules import AssetState, check

FOLDERS = [place for place in PLACES.values() if place.endswith("/")]
PROJECT = "weft.yaml"
LARGEST = 256 * 1024  # bytes; parse_file says so about anything larger


def register(app: typer.Typer) -> None:
    app.command()(validate)


def validate(
    path: Annotated[
        Path | None,
        typer.Argument(help="The repository's root. Default: that of this folder.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every file of a repository. Exit code 1 if there is a problem.

    Example: weft validate examples-repo
    """
    root = find_root(Path.cwd()) if path is None else path
    files = read_files(root)
    if not files:
        raise CommandError(
            f"{root} has no {PROJECT}, patterns/ or deployments/: name the root of a repository"
        )
    found = problems(root, files)
    if as_json:
        print_json({"files": len(files), "problems": [asdict(problem) for problem in found]})
    else:
        for problem in found:
            typer.echo(str(problem))
        typer.echo(summary(len(files), found))
    if found:
        raise typer.Exit(1)


def problems(root: Path, files: dict[str, ParsedFile]) -> list[Problem]:
    """Those of every document and those between documents, sorted by place."""
    own = (problem for file in files.values() for problem in file.problems)
    return sorted({*own, *check(files, lambda path: asset_state(root, path))})


def find_root(folder: Path) -> Path:
    """The nearest folder, upwards, that holds a Git repository; else the folder itself."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def read_files(root: Path) -> dict[str, ParsedFile]:
    """Every document file by its path from the root. Raises CommandError for what cannot be read."""
    try:
        return {path: _parsed(root, path) for path in sorted(_document_paths(root))}
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}; see that you may read it") from error


def _document_paths(root: Path) -> Iterator[str]:
    places = [root / PROJECT, *(place for folder in FOLDERS for place in (root / folder).rglob("*"))]
    for place in places:
        path = place.relative_to(root).as_posix()
        if is_document_path(path) and (place.is_file() or place.is_symlink()):
            yield path


def _parsed(root: Path, path: str) -> ParsedFile:
    place = root / path
    if _state(root, path) == AssetState.SYMLINK:
        problem = Problem(
            path=path,
            line=1,
            column=1,
            code="no-plain-file",
            message="this is a symbolic link or a submodule.",
            hint="Put the document itself there.",
        )
        return ParsedFile(problems=(problem,))
    return parse_file(path, place.read_bytes() if place.stat().st_size <= LARGEST else b" " * (LARGEST + 1))


def asset_state(root: Path, path: str) -> AssetState:
    """What stands at a path from the root, as the server will see it in a commit."""
    parts = Path(path).parts
    return AssetState.ABSENT if ".." in parts or Path(path).is_absolute() else _state(root, path)


def _state(root: Path, path: str) -> AssetState:
    at = root
    for part in Path(path).parts:
        at /= part
        if at.is_symlink():
            return AssetState.SYMLINK
    if at.is_dir():
        return AssetState.DIRECTORY
    return AssetState.PRESENT if at.is_file() else AssetState.ABSENT


def summary(files: int, found: list[Problem]) -> str:
    checked = f"{files} file{'' if files == 1 else 's'} checked"
    if not found:
        return f"{checked}, no problems"
    bad = len({problem.path for problem in found})
    return f"{checked}, {len(found)} problem{'' if len(found) == 1 else 's'} in {bad}"
