"""`weft test`: runs the tests of a work tree in this process; no server, no database, no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandError
from cli.junit import junit_xml
from cli.options import Json
from cli.printing import make_console, print_json, took
from cli.rehearsal_report import case_as_json, coverage_as_json, coverage_lines, failure_lines, summary
from cli.side_by_side import NARROW
from cli.validate import PROJECT, find_root, problems, read_files
from runner.rehearsal.coverage import Coverage, coverage
from runner.rehearsal.kinds import RehearsedKinds
from runner.rehearsal.library import library_of
from runner.rehearsal.rehearse import CaseResult, listed_tests, rehearse
from schemas.documents import Document, ParsedFile
from schemas.mistakes import did_you_mean
from schemas.yaml_text import read_yaml


class NoSuchTest(CommandError):
    exit_code = 2


def register(app: typer.Typer) -> None:
    app.command("test")(run_tests)


def run_tests(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]... [PATH]",
            help="Tests by their name, file or pattern, and the repository's root. Default: all, of this folder's.",
            show_default=False,
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
    ] = None,
    covered: Annotated[
        bool, typer.Option("--coverage", help="Say which nodes and sides of them no case came by.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try patterns with the cases in tests/. Exit code 1 if one fails.

    Example: weft test order-intake examples-repo
    """
    root, wanted = _root_and_names(names or [])
    files = read_files(root)
    _check(root, files)
    tests = _chosen(listed_tests(files), wanted, root)
    results = list(_run(root, files, tests, quiet=as_json))
    told = {one: "\n".join(failure_lines(one)) for one in results if not one.passed}
    found = list(_coverage(root, files, results, tests if wanted else None)) if covered else []
    if junit is not None:
        _write(junit, junit_xml(results, told))
    if as_json:
        shown = {"cases": [case_as_json(one) for one in results]}
        print_json(shown | ({"coverage": [coverage_as_json(one) for one in found]} if covered else {}))
    else:
        for line in (*coverage_lines(found), summary(results)):
            typer.echo(line)
    if told:
        raise typer.Exit(1)


def _root_and_names(given: Sequence[str]) -> tuple[Path, list[str]]:
    """The last argument is the root where it is a folder with a repository in it."""
    if given and _is_root(Path(given[-1])):
        return Path(given[-1]), list(given[:-1])
    return find_root(Path.cwd()), list(given)


def _is_root(path: Path) -> bool:
    return any((path / name).exists() for name in (PROJECT, "patterns", "tests", ".git"))


def _check(root: Path, files: dict[str, ParsedFile]) -> None:
    """What has problems cannot be tried: they are told as `weft validate` does."""
    found = problems(root, files)
    if found:
        for problem in found:
            typer.echo(str(problem))
        raise CommandError("mend the problems above, then test again")


def _chosen(tests: list[Document], wanted: list[str], root: Path) -> list[Document]:
    if not tests:
        raise CommandError(f"{root} has no tests: write some into tests/….yaml (kind: PatternTest)")
    known = {name for test in tests for name in _names(test)}
    for name in wanted:
        if name not in known:
            raise NoSuchTest(
                f"there is no test {name!r}, and none of a pattern of that name. {_hint(name, known)}"
            )
    return [test for test in tests if not wanted or any(name in _names(test) for name in wanted)]


def _names(test: Document) -> tuple[str, ...]:
    return test.name, test.spec["pattern"], test.path


def _hint(name: str, known: set[str]) -> str:
    return did_you_mean(name, (one for one in known if "/" not in one))


def _run(
    root: Path, files: dict[str, ParsedFile], tests: list[Document], *, quiet: bool
) -> Iterator[CaseResult]:
    console = make_console()
    width = max(NARROW, (min(console.width, 160) - 12) // 2) if console.is_terminal else NARROW
    library = library_of(files, lambda path: (root / path).read_bytes())
    with closing(RehearsedKinds()) as kinds:
        for result in rehearse(tests, library, kinds.handlers):
            if not quiet:
                mark, style = ("ok  ", "green") if result.passed else ("FAIL", "red")
                console.print(mark, style=style, end="  ")
                console.print(f"{result.test}: {result.case}  ({took(result.seconds * 1000)})", markup=False)
                for line in () if result.passed else failure_lines(result, width):
                    console.print(f"      {line}".rstrip(), markup=False)
            yield result


def _coverage(
    root: Path, files: dict[str, ParsedFile], results: list[CaseResult], tests: list[Document] | None
) -> Iterator[Coverage]:
    """Of all patterns; where only some `tests` ran, of those that they try."""
    library = library_of(files, lambda path: b"")
    tried = {test.spec["pattern"] for test in tests or ()}
    patterns = {name: one for name, one in library.documents.items() if tests is None or name in tried}
    places = {}
    for name, document in patterns.items():
        written = read_yaml(document.path, (root / document.path).read_bytes()).documents
        positions = next(
            one.positions for one in written if (one.line, one.column) == (document.line, document.column)
        )
        places[name] = (document, positions)
    yield from coverage(places, results)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
