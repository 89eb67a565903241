"""A template as the rest of Weft sees it: a pattern, and maybe a deployment, with parameters to be filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.pattern import JSON


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a `Template` document's `spec` says, with its `${{ params.… }}` still in it.

    `parameters` is a JSON Schema of an object; `deployment` lacks the key `pattern`.
    """

    name: str
    parameters: Mapping[str, JSON]
    pattern: Mapping[str, JSON]
    deployment: Mapping[str, JSON] | None = None

    @property
    def known(self) -> Mapping[str, JSON]:
        """Name → JSON Schema of each parameter."""
        return parameter_schemas(self.parameters)


def template_from_spec(name: str, spec: Mapping[str, JSON]) -> Template:
    """The typed template of a `spec` that passed the checks."""
    return Template(
        name=name, parameters=spec["parameters"], pattern=spec["pattern"], deployment=spec.get("deployment")
    )


def parameter_schemas(parameters: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Name → JSON Schema of each parameter, of whatever shape `parameters` has."""
    known = parameters.get("properties")
    return known if isinstance(known, dict) else {}


def with_defaults(parameters: Mapping[str, JSON], given: Mapping[str, JSON]) -> dict[str, JSON]:
    """What is given, and the `default` of each parameter that is not."""
    schemas = parameter_schemas(parameters).items()
    defaults = {name: one["default"] for name, one in schemas if isinstance(one, dict) and "default" in one}
    return {**defaults, **given}
