"""How costs grow: what is measured is of the size that is asked for, and is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from infra.bench.growth import Growth, _as_long, _flags, write_growth
from infra.bench.report import new_report

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("characters", [1, 5, 25, 4_000])
@pytest.mark.parametrize("text", ["hello", "where is my parcel?"])
def test_a_text_is_as_long_as_asked(text: str, characters: int) -> None:
    assert len(_as_long(text, characters)) == characters


@pytest.mark.parametrize(("climbing", "compared"), [(False, 0), (True, 91)])
def test_there_are_as_many_flags_as_asked_and_ours_compare_nobody(*, climbing: bool, compared: int) -> None:
    flags = _flags(100, climbing=climbing)
    assert (len(flags.names), len(flags.compared)) == (100, compared)


def test_each_dimension_is_a_picture_with_a_line_for_each_who_was_measured(tmp_path: Path) -> None:
    report = new_report("bench growth", begun=0.0, settings={}, measures={}, ratios={}, notes=[])
    write_growth(tmp_path, Growth(report, {"intents": {"rules": {10: 9.0, 1_000: 30.0}, "zero_shot": {10: 350.0}}}))
    picture = ET.parse(tmp_path / "growth-intents.svg").getroot()  # noqa: S314 - it is ours
    assert len(picture.findall(".//{*}polyline")) == 2
    assert {"rules", "zero_shot"} <= {text.text for text in picture.findall(".//{*}text")}
