"""What must hold within a template: filled in with sample values, it is a pattern without a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from schemas.deployment_rules import deployment_mistakes
from schemas.json_schemas import schema_mistakes, violations
from schemas.mistakes import Mistake, Spot, did_you_mean
from schemas.outline import Path, Text, texts_in
from schemas.parameters import Mention, filled, filling_size, mentioned, mentions, standings
from schemas.pattern import JSON
from schemas.pattern_rules import pattern_mistakes
from schemas.samples import Sample, sample
from schemas.shape import mistakes
from schemas.template import parameter_schemas
from schemas.template_text import pieces

LARGEST_FILLING: Final = 4 * 1024 * 1024  # characters

_NOT_IN_CODE: Final = "Hand the value over in `input`: in a program's text it would be a piece of program."


_OF_ITS_OWN: Final = Mistake(
    path=("spec", "pattern"),
    at_key=True,
    code="unknown-key",
    message='unknown key "pattern"',
    hint="The deployment is always of the pattern that the template makes: take it out.",
)


def template_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a template's `spec`, whatever shape it has."""
    parameters = spec.get("parameters")
    if not isinstance(parameters, dict):
        return  # the JSON Schema says so
    wrong = list(schema_mistakes(parameters, ("spec", "parameters")))
    yield from wrong
    if not wrong:
        yield from _default_mistakes(parameters)
    for key in ("pattern", "deployment"):
        part = spec.get(key)
        if isinstance(part, dict):
            yield from _Part(key, part, parameters).mistakes()


def _default_mistakes(parameters: Mapping[str, JSON]) -> Iterator[Mistake]:
    """A default that its own parameter refuses would be found out by whoever relies on it."""
    hint = "Give a default that the parameter's own schema takes."
    for name, schema in parameter_schemas(parameters).items():
        if isinstance(schema, dict) and "default" in schema:
            alone = {"$defs": parameters.get("$defs", {}), **schema}
            for said in violations(alone, schema["default"], most=1):
                path = ("spec", "parameters", "properties", name, "default")
                message = f"the default does not hold: {said}"
                yield Mistake(path=path, code="invalid-value", message=message, hint=hint)


@dataclass(frozen=True)
class _Part:
    """`pattern` or `deployment` of a template."""

    key: str
    written: Mapping[str, JSON]
    parameters: Mapping[str, JSON]

    def mistakes(self) -> Iterator[Mistake]:
        texts = list(texts_in(self.written, ()))
        yield from chain.from_iterable(map(self._naming, texts))
        samples = self._samples(texts)
        values = {name: one.value for name, one in samples.items()}
        if filling_size(self.written, values) > LARGEST_FILLING:
            yield Mistake(
                path=("spec", self.key),
                at_key=True,
                code="template-too-large",
                message=f'"{self.key}" becomes too large when its parameters are filled in',
                hint="Name the parameters less often, or give shorter defaults.",
            )
            return
        standing = standings(self.written) if self.key == "pattern" else {}
        for mistake in self._check(filled(self.written, values, standing)):
            yield from self._translated(mistake, samples)

    def _naming(self, text: Text) -> Iterator[Mistake]:
        """Parameters that are not there, or that nobody has to give."""
        known, required = parameter_schemas(self.parameters), self.parameters.get("required")
        path = ("spec", self.key, *text.path)
        for nth, piece in enumerate(pieces(text.text)):
            found = list(mentions(piece.source))
            for mention in found:
                spot = Spot(source=piece.source, nth=nth, line=1, column=1 + mention.start)
                wrong = _naming_mistake(mention, known, required if isinstance(required, list) else [])
                if wrong:
                    code, message, hint = wrong
                    yield Mistake(path=path, spot=spot, code=code, message=message, hint=hint)
            if (
                found
                and self._is_program(text.path)
                and piece.source.strip() != text.text.strip()[3:-2].strip()
            ):
                message = "a program's text cannot have parameters in it"
                yield Mistake(path=path, code="template-not-allowed", message=message, hint=_NOT_IN_CODE)

    def _is_program(self, path: Path) -> bool:
        return self.key == "pattern" and path[:1] == ("nodes",) and path[-2:] == ("with", "code")

    def _samples(self, texts: list[Text]) -> dict[str, Sample]:
        """Also of those that are named and not there, so that nothing else is said of them."""
        named = {mention.steps[0] for text in texts for mention in mentioned(text.text) if mention.steps}
        known = parameter_schemas(self.parameters)
        return {name: sample(known.get(name), self.parameters) for name in sorted({*named, *known})}

    def _check(self, spec: JSON) -> Iterator[Mistake]:
        envelope = {"apiVersion": "weft/v1", "kind": self.key.title(), "metadata": {"name": "example"}}
        if self.key == "pattern":
            yield from mistakes("pattern", {**envelope, "spec": spec})
            yield from pattern_mistakes(spec)
        else:
            if "pattern" in self.written:
                yield _OF_ITS_OWN
            yield from mistakes("deployment", {**envelope, "spec": {**spec, "pattern": "example"}})
            yield from deployment_mistakes(spec)

    def _translated(self, mistake: Mistake, samples: Mapping[str, Sample]) -> Iterator[Mistake]:
        """The mistake of what was filled in, where the template has it."""
        path = mistake.path[1:]
        text = _text_at(self.written, path)
        there = replace(mistake, path=("spec", self.key, *path))
        named = [mention.steps[0] for mention in mentioned(text or "") if mention.steps]
        if text is None or not named:
            yield there
            return
        if not set(named) <= set(parameter_schemas(self.parameters)):
            return  # that is said already
        # A name that an expression gets wrong is wrong whatever the parameters are.
        is_name = mistake.spot is not None and not mistake.code.startswith("expression")
        guessed = next((name for name in named if not is_name and not samples[name].given), None)
        hint = mistake.hint
        if guessed is not None:
            tried = f"{samples[guessed].value!r:.60}"
            hint += f' "{guessed}" was tried as {tried}: give it a `default`, or `examples`, that fit.'
        yield replace(there, hint=hint, spot=_spot(text, mistake.spot))


def _naming_mistake(
    mention: Mention, known: Mapping[str, JSON], required: list[JSON]
) -> tuple[str, str, str] | None:
    name = mention.steps[0] if mention.steps else None
    if name is None:
        return None
    if name not in known:
        hint = (
            did_you_mean(name, known) if known else f"Declare it: properties: {{{name}: {{type: string}}}}."
        )
        return "unknown-parameter", f'there is no parameter "{name:.80}"', hint
    schema = known[name]
    if name in required or (isinstance(schema, dict) and "default" in schema):
        return None
    message = f'the parameter "{name}" may be left out, and has no default'
    return "parameter-not-set", message, f"Give it a `default`, or list it: required: [{name}]."


def _text_at(value: JSON, path: Path) -> str | None:
    """The text at a path; where that leads into what was filled in, the text that it was filled into."""
    for step in path:
        known = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if step not in known:
            break
        value = value[step]
    return value if isinstance(value, str) else None


def _spot(text: str, spot: Spot | None) -> Spot | None:
    """The same expression of the template's text. What is no longer one after filling in does not count."""
    if spot is None:
        return None
    left = [nth for nth, piece in enumerate(pieces(text)) if not _is_parameter(piece.source)]
    nth = left[spot.nth] if spot.nth < len(left) else 0
    source = [piece.source for piece in pieces(text)][nth]
    same = source == spot.source
    return Spot(source=source, nth=nth, line=spot.line if same else 1, column=spot.column if same else 1)


def _is_parameter(source: str) -> bool:
    mention = next(mentions(source), None)
    return mention is not None and source.strip() == source[mention.start : mention.end]
