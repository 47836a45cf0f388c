"""What a catalogue's author would want to know before serving it: above all where intents contradict one another."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from models.catalogue_source import CatalogueSource, Finding, IntentSource, MarkedText, read_source
from models.near_duplicates import similar_pairs
from models.patterns import PatternSet
from models.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW_EXAMPLES = 10
VERY_FEW_EXAMPLES = 5
SIMILARITY = 0.8
"""Of trigrams, from which two intents' examples are told to overlap: a word or two of a sentence differ."""

_WORD = re.compile(r"\w+")
_OUT_OF_SCOPE = "out_of_scope"  # how findings name it; an intent may be called so, too, and is told apart by its lines


class _Example(msgspec.Struct, frozen=True, kw_only=True):
    """A text, where it stands, and in what form it is compared."""

    owner: int  # the intent's position; -1 is out of scope
    owner_name: str
    line: int
    key: str
    text: str


def check_catalogue(path: Path) -> list[Finding]:
    """Read a catalogue's file and return all that must or should be changed in it, by line.

    A file without findings of severity `error` loads; `models.catalogue.load_catalogue` refuses fewer things than
    are errors here: that an example stands in two intents, for one, is a mistake but no obstacle.
    """
    source = read_source(path)
    examples = _examples(source)
    findings = chain(
        source.faults,
        _thin(source),
        _duplicates(examples),
        _near_duplicates(examples),
        _patterns(source, examples),
    )
    return sorted(findings, key=lambda finding: (finding.line, finding.severity, finding.code))


def _examples(source: CatalogueSource) -> list[_Example]:
    owners = [(number, intent.name.text, intent.examples) for number, intent in enumerate(source.intents)]
    owners.append((-1, _OUT_OF_SCOPE, source.out_of_scope))
    return [
        _Example(owner=owner, owner_name=name, line=example.line, key=_key(example.text), text=example.text)
        for owner, name, texts in owners
        for example in texts
    ]


def _key(text: str) -> str:
    """Return the words alone; the text where it has none."""
    normal = normalise(text)
    return " ".join(_WORD.findall(normal)) or normal


def _thin(source: CatalogueSource) -> Iterator[Finding]:
    """Find what is missing without being wrong."""
    for intent in source.intents:
        if not intent.description:
            yield _warning(
                intent.name, "no_description", f"`{intent.name.text}` has no description; say in a sentence what it is"
            )
        count = len(intent.examples)
        if 0 < count < FEW_EXAMPLES:
            code = "very_few_examples" if count < VERY_FEW_EXAMPLES else "few_examples"
            yield _warning(
                intent.name, code, f"`{intent.name.text}` has {count} examples; {FEW_EXAMPLES} are few, 30 are good"
            )
    if source.intents and not source.out_of_scope:
        yield _warning(
            MarkedText("", 1), "no_out_of_scope", "there are no `out_of_scope` examples; add texts that are no intent's"
        )


def _duplicates(examples: list[_Example]) -> Iterator[Finding]:
    """Find texts that stand twice: needless within an intent, a contradiction across two."""
    seen: defaultdict[str, list[_Example]] = defaultdict(list)
    for example in examples:
        earlier = seen[example.key]
        rival = next((other for other in earlier if other.owner != example.owner), None)
        if rival:
            message = f"this is also an example of `{rival.owner_name}` on line {rival.line}; keep one of the two"
            yield Finding(line=example.line, code="contradicting_example", message=message)
        elif earlier:
            yield _warning(example, "duplicate_example", f"this already stands on line {earlier[0].line}; remove it")
        if not any(other.owner == example.owner for other in earlier):
            earlier.append(example)


def _near_duplicates(examples: list[_Example]) -> Iterator[Finding]:
    """Find, for each example, the earlier one of another intent that is most like it."""
    closest: dict[int, tuple[float, int]] = {}
    for pair in similar_pairs([example.key for example in examples], SIMILARITY):
        first, second = examples[pair.first], examples[pair.second]
        if first.owner != second.owner and first.key != second.key:
            closest[pair.second] = max(closest.get(pair.second, (0.0, 0)), (pair.similarity, pair.first))
    for later, (_, earlier) in closest.items():
        other = examples[earlier]
        yield _warning(
            examples[later],
            "similar_example",
            f"this is nearly the example of `{other.owner_name}` on line {other.line}; make the difference plain",
        )


def _patterns(source: CatalogueSource, examples: list[_Example]) -> Iterator[Finding]:
    """Find patterns that claim another intent's examples, or none of their own."""
    if any(fault.code == "pattern" for fault in source.faults):
        return  # what does not compile cannot be held against anything
    owned = [(owner, pattern) for owner, intent in enumerate(source.intents) for pattern in intent.patterns]
    compiled = PatternSet(pattern.text for _, pattern in owned)
    useful: set[int] = set()
    accused: set[tuple[int, int]] = set()
    for example in examples:
        for number in compiled.matches(example.text):
            owner, pattern = owned[number]
            if owner == example.owner:
                useful.add(number)
            elif (number, example.owner) not in accused:
                accused.add((number, example.owner))
                yield _overlap(source.intents[owner], pattern, example)
    for number, (owner, pattern) in enumerate(owned):
        if number not in useful:
            name = source.intents[owner].name.text
            yield _warning(
                pattern, "idle_pattern", f"this pattern matches no example of `{name}`; correct it or add one"
            )


def _overlap(intent: IntentSource, pattern: MarkedText, example: _Example) -> Finding:
    message = (
        f"this pattern of `{intent.name.text}` matches the example of `{example.owner_name}` on line {example.line}; "
        "make it narrower"
    )
    return Finding(line=pattern.line, code="overlapping_pattern", message=message)


def _warning(where: MarkedText | _Example, code: str, message: str) -> Finding:
    return Finding(line=where.line, severity="warning", code=code, message=message)
