"""What a catalogue's owner is promised when it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from models.catalogue import Catalogue, Intent, load_catalogue
from models.marked_yaml import MAX_BYTES
from schemas.errors import InvalidCatalogueError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
name: café
intents:
  - name: AddToPlaylist
    description: The user wants a song in a playlist.
    examples:
      - add this song
      - no
      - "key: value # kept"
    patterns:
      - ^add\\b
  - name: reverted_card_payment?
    examples: [my money came back]
out_of_scope:
  - why is the sky blue
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.yaml"


def test_a_catalogue_is_read_as_it_is_written(file: Path) -> None:
    file.write_text(GOOD)
    assert load_catalogue(file) == Catalogue(
        name="café",
        intents=(
            Intent(
                name="AddToPlaylist",
                description="The user wants a song in a playlist.",
                examples=("add this song", "no", "key: value # kept"),
                patterns=(r"^add\b",),
            ),
            Intent(name="reverted_card_payment?", examples=("my money came back",)),
        ),
        out_of_scope=("why is the sky blue",),
    )


def test_labels_stand_in_the_order_of_the_file(file: Path) -> None:
    file.write_text(GOOD)
    assert load_catalogue(file).labels == ("AddToPlaylist", "reverted_card_payment?")


def test_the_digest_ignores_comments_layout_and_the_catalogues_name(file: Path) -> None:
    file.write_text(GOOD)
    before = load_catalogue(file).digest
    rewritten = GOOD.replace("examples: [my money came back]", "examples:\n      - 'my money came back'  # often")
    file.write_text("# new\n" + rewritten.replace("café", "bar"))
    assert load_catalogue(file).digest == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AddToPlaylist", "add_to_playlist"),
        ("in a playlist", "on a playlist"),
        ("add this song", "add that song"),
        (r"^add\b", "^add"),
        ("sky blue", "sea blue"),
        ("      - add this song\n      - no\n", "      - no\n      - add this song\n"),
    ],
)
def test_the_digest_changes_with_anything_an_answer_depends_on(file: Path, old: str, new: str) -> None:
    file.write_text(GOOD)
    before = load_catalogue(file).digest
    file.write_text(GOOD.replace(old, new))
    assert load_catalogue(file).digest != before


def test_the_digest_is_not_fooled_by_moving_a_text_from_one_list_to_the_next() -> None:
    first = Intent(name="a", examples=("x", "y"))
    moved = Catalogue(name="n", intents=(msgspec.structs.replace(first, examples=("x",), patterns=("y",)),))
    assert moved.digest != Catalogue(name="n", intents=(first,)).digest


FAULTS = {
    "an empty file": ("", 1, "the file is empty"),
    "only comments": ("# nothing\n", 1, "the file is empty"),
    "a list at the top": ("- a\n", 1, "the catalogue must have keys"),
    "no name": ("intents:\n- {name: a, examples: [x]}\n- {name: b, examples: [y]}\n", 1, "no `name`"),
    "no intents": ("\nname: n\n", 2, "no `intents`"),
    "an empty list of intents": ("name: n\nintents: []\n", 2, "nothing to tell apart"),
    "intents that are no list": ("name: n\nintents:\n  a: b\n", 3, "`intents` must be a list"),
    "one intent and nothing to tell it from": ("name: n\nintents:\n- {name: a, examples: [x]}\n", 3, "at least two"),
    "an intent that is a text": (GOOD + "intents2: x\n", 15, "`intents2` is no key of the catalogue"),
    "an unknown key of an intent": (GOOD.replace("description", "descriptoin"), 4, "`descriptoin` is no key"),
    "a key that stands twice": (GOOD.replace("    patterns:", "    examples:"), 9, "`examples` stands twice"),
    "an intent without a name": (GOOD.replace("- name: reverted_card_payment?\n   ", "-"), 11, "no `name`"),
    "a name with a blank": (GOOD.replace("AddToPlaylist", "Add to"), 3, "`Add to` is no intent's name"),
    "a name of 129 characters": (GOOD.replace("AddToPlaylist", "a" * 129), 3, "is no intent's name"),
    "two intents of one name": (
        GOOD.replace("reverted_card_payment?", "AddToPlaylist"),
        11,
        "already stands on line 3",
    ),
    "an intent without examples": (GOOD.replace("    examples: [my money came back]\n", ""), 11, "no `examples`"),
    "an empty list of examples": (GOOD.replace("[my money came back]", "[]"), 12, "`examples` is empty"),
    "an example that is null": (GOOD.replace("- no\n", "-\n"), 7, "an entry of `examples` is empty"),
    "an example that is a mapping": (GOOD.replace("- no\n", "- no: yes\n"), 7, "must be a text"),
    "an example that is too long": (GOOD.replace("- no\n", f"- {'x' * 4097}\n"), 7, "4097 characters"),
    "examples that are a text": (GOOD.replace("[my money came back]", "my money"), 12, "must be a list"),
    "a pattern that does not compile": (GOOD.replace(r"^add\b", "(add"), 10, "no RE2 regular expression: missing )"),
    "a pattern that only backtracking can match": (GOOD.replace(r"^add\b", r"(a)\1"), 10, "no RE2"),
    "a pattern that is too long": (GOOD.replace(r"^add\b", "a" * 513), 10, "513 characters"),
    "a pattern that grows beyond its length": (GOOD.replace(r"^add\b", "((a{900}){900}){900}"), 10, "no RE2"),
    "a pattern that matches everything": (GOOD.replace(r"^add\b", "a*"), 10, "matches the empty text"),
    "a quote that is not closed": (GOOD.replace("- no\n", '- "no\n'), 8, "this is not YAML"),
    "a tab as indentation": (GOOD.replace("      - no\n", "\t- no\n"), 7, "this is not YAML"),
    "a control character": (GOOD.replace("- no\n", "- n\x07o\n"), 7, "a control character"),
    "a second document": (GOOD + "---\nname: n\n", 15, "a second document"),
    "an alias": (GOOD.replace("- no\n", "- *anything\n"), 7, "aliases"),
    "a tag that would build an object": (GOOD.replace("- no\n", "- !!python/name:os.system x\n"), 7, "tags"),
    "nesting that would overflow a stack": (GOOD.replace("- no\n", "- " + "[" * 100_000 + "\n"), 7, "too deeply"),
}


@pytest.mark.parametrize(("content", "line", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_with_its_file_and_line(file: Path, content: str, line: int, message: str) -> None:
    file.write_text(content)
    with pytest.raises(InvalidCatalogueError) as caught:
        load_catalogue(file)
    (fault,) = str(caught.value).splitlines()
    assert fault.startswith(f"{file}:{line}: ")
    assert message in fault


def test_every_fault_is_named_at_once_in_the_order_of_the_file(file: Path) -> None:
    faulty = GOOD.replace("AddToPlaylist", "Add to").replace("- no\n", "- ~\n").replace(r"^add\b", "(")
    file.write_text(faulty.replace("reverted_card_payment?", "x\n    colour: red"))
    with pytest.raises(InvalidCatalogueError) as caught:
        load_catalogue(file)
    lines = [int(fault.removeprefix(f"{file}:").split(":")[0]) for fault in str(caught.value).splitlines()]
    assert lines == [3, 7, 10, 12]


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(InvalidCatalogueError, match=r"catalogue\.yaml:1: the file cannot be read: No such file"):
        load_catalogue(file)


def test_a_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogueError, match="cannot be read: Is a directory"):
        load_catalogue(tmp_path)


def test_the_line_that_is_not_utf_8_is_named(file: Path) -> None:
    file.write_bytes(GOOD.replace("- no\n", "- né\n").encode("latin-1").replace(b"caf\xe9", b"cafe"))
    with pytest.raises(InvalidCatalogueError, match=r"catalogue\.yaml:7: this is not UTF-8"):
        load_catalogue(file)


def test_a_byte_order_mark_is_no_fault(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8-sig")
    assert load_catalogue(file).name == "café"


def test_a_file_over_the_limit_is_refused_unread(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidCatalogueError, match="larger than 16 MiB"):
        load_catalogue(file)


def test_patterns_that_together_need_too_much_memory_are_refused(file: Path) -> None:
    patterns = "\n".join(f"      - '{number}(.{{900}}x){{1}}'" for number in range(2_000))
    file.write_text(GOOD.replace("      - ^add\\b", patterns))
    with pytest.raises(InvalidCatalogueError, match="the patterns together need more than 256 MiB"):
        load_catalogue(file)
