"""`weft template`: patterns with parameters, to start from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from cli.acting import Message, act, said
from cli.arguments import read_json
from cli.client import open_server
from cli.options import Data, Json
from cli.printing import MISSING, columns, make_console, print_json, short
from schemas.pattern import JSON

MOST = 10_000
HELP = """Start from a template, list them, make one.

Example: weft template use webhook-to-http tell-crm --param url=https://crm.example/orders
"""


def register(app: typer.Typer) -> None:
    template = typer.Typer(no_args_is_help=True, help=HELP)
    template.command("list")(list_)
    template.command("use")(use)
    template.command("create")(create)
    app.add_typer(template, name="template")


def list_(data: Data = None, as_json: Json = False) -> None:
    """List the templates of the default branch, and their parameters (* has to be given).

    Example: weft template list
    """
    with open_server(data) as server:
        found = list(server.items("templates", most=MOST))
    if as_json:
        print_json(found)
    elif not found:
        make_console().print("No templates yet: weft template create PATTERN, or a file below templates/.")
    else:
        headers = ("NAME", "PARAMETERS", "MAKES", "DESCRIPTION")
        make_console().print(columns(headers, map(_row, found), cut=("PARAMETERS", "DESCRIPTION")))


def _row(found: JSON) -> tuple[str, ...]:
    required = found["parameters"].get("required", ())
    names = [f"{name}*" if name in required else name for name in found["parameters"].get("properties", ())]
    makes = "pattern, deployment" if found["deploys"] else "pattern"
    described = short(found["title"] or found["description"], 60)
    return found["name"], ", ".join(names) or MISSING, makes, described


def use(
    template: Annotated[str, typer.Argument(metavar="NAME", help="As `weft template list` shows it.")],
    new: Annotated[str, typer.Argument(help="The new pattern's name.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="One parameter.", show_default=False),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE", help="Several at once; @- reads standard input.", show_default=False
        ),
    ] = None,
    message: Message = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a pattern from a template, and its deployment where the template has one.

    Example: weft template use webhook-to-http tell-crm --param url=https://crm.example/orders
    """
    given = {} if params is None else read_json("--params", params)
    if not isinstance(given, dict):
        raise typer.BadParameter('it takes an object, such as {"url": "…"}', param_hint="--params")
    pairs = [_pair(one) for one in param or ()]
    if pairs:
        with open_server(data) as server:
            schema = server.get("templates", template)["parameters"]
        given |= _typed(pairs, schema.get("properties", {}))
    body = {"name": new, "parameters": given} | said(message)
    act(("templates", template, "use"), body, data, as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise typer.BadParameter(f"it takes KEY=VALUE, not {text!r:.80}", param_hint="--param")
    return key, value


def _typed(pairs: Iterable[tuple[str, str]], schemas: Mapping[str, JSON]) -> dict[str, JSON]:
    """Text where the parameter takes text; else what the text is as JSON."""
    return {key: _value(text, schemas.get(key)) for key, text in pairs}


def _value(text: str, schema: JSON) -> JSON:
    types = schema.get("type", ()) if isinstance(schema, dict) else ()
    if "string" in ([types] if isinstance(types, str) else types):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def create(
    pattern: Annotated[str, typer.Argument(help="The pattern's name.")],
    name: Annotated[
        str | None, typer.Argument(help="The template's. Default: the pattern's.", show_default=False)
    ] = None,
    message: Message = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a template of a pattern, in a file of its own; its parameters are yours to add.

    Example: weft template create order-intake
    """
    body = {"name": name or pattern} | said(message)
    act(("patterns", pattern, "template"), body, data, as_json=as_json)
