"""`intentstream feedback`: what a person's feedback taught, shown and taken back."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from models.learning.lessons import Lessons
from schemas.errors import InvalidEventError
from schemas.events import ForgetRequest
from streams.learning.forgetting import ask_to_forget
from streams.learning.lesson_log import read_lesson
from streams.privacy.parts import opening, person_keys
from streams.reader import TopicReader
from streams.topics import CORRECTIONS

if TYPE_CHECKING:
    from schemas.events import Lesson, Vote
    from schemas.settings import Settings

_user_option = click.option("--user", "person_id", required=True, metavar="ID", help="The `person_id` of the feedback.")


@click.group
def command() -> None:
    """Show what a person's corrections teach, or take it back."""


@command.command("list")
@_user_option
@click.option("--show-text", is_flag=True, help="Show the texts, too.")
@json_option
def list_feedback(*, person_id: str, show_text: bool, as_json: bool) -> None:
    """Show which lessons a person has a voice in. With --json, a line each."""
    voices = _voices(begin(), person_id)
    for key, lesson, vote in voices:
        shown = _shown(key, lesson, vote) | ({"text": lesson.text} if show_text else {})
        if as_json:
            print_json(shown)
        else:
            click.echo(_line(shown))
    say(f"{person_id} has a voice in {_texts(len(voices))}.", as_json=as_json)


@command.command("forget")
@_user_option
@click.option("--reason", default="", help="Why; it stands in the audit for ever.")
@click.option("--by", "asked_by", help="Who wants it so; left out: who you are on this machine.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the guard.",
)
@json_option
def forget_feedback(*, person_id: str, reason: str, asked_by: str | None, wait_seconds: float, as_json: bool) -> None:
    """Take back whatever a person's corrections taught until now.

    What nobody else said is forgotten; what others said, too, is weighed without that person. The guard does it, as
    soon as it has got to the request; every worker obeys a moment later. Doing it again changes nothing.
    """
    request = ForgetRequest(person_id=person_id, asked_by=asked_by or getpass.getuser(), reason=reason)
    forgetting = ask_to_forget(begin(), request, wait_seconds=wait_seconds)
    if as_json:
        print_json({"source": forgetting.source, "done": forgetting.done, "changed": forgetting.changed})
        return
    for withdrawal in forgetting.changed:
        click.echo(f"{withdrawal.lesson}  {withdrawal.code:<9}  {withdrawal.reason}")
    if forgetting.done is not None:
        say(f"{_texts(forgetting.done.lessons)} changed; what {person_id} said until now counts no more.")
    else:
        say(
            f"The request stands at {forgetting.source}; no guard has got to it yet. One will, once a worker runs and "
            "the flag feedback_learning is on."
        )


def _voices(settings: Settings, person_id: str) -> list[tuple[str, Lesson, Vote]]:
    """Return each lesson that a person has a voice in, and what they said, the one changed longest ago first."""
    lessons = Lessons()
    with person_keys(settings) as keys, TopicReader(settings, [CORRECTIONS], start="beginning") as reader:
        open_text = opening(keys)
        for record in reader.read_to_end():
            try:
                lessons.apply(*read_lesson(record.key(), record.value(), open_text))
            except InvalidEventError:
                continue  # workers count and report what is no lesson
    return [
        (key, lesson, vote)
        for key, lesson in lessons.by_key.items()
        for vote in lesson.votes
        if vote.person_id == person_id
    ]


def _shown(key: str, lesson: Lesson, vote: Vote) -> dict[str, Any]:
    return {
        "lesson": key,
        "said": vote.intent,
        "at": vote.at,
        "decides": lesson.accepted,
        "intent": lesson.intent,
        "others": sum(other.intent == vote.intent for other in lesson.votes) - 1,
        "revision": lesson.revision,
    }


def _line(shown: dict[str, Any]) -> str:
    state = f"decides {shown['intent'] or '(out of scope)'}" if shown["decides"] else "waits"
    said = shown["said"] or "(out of scope)"
    line = f"{shown['lesson']}  {shown['at']}  {said:<28}  {state}; others who say so: {shown['others']}"
    return f"{line}\n{'':<34}{shown['text']}" if "text" in shown else line


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count} texts"
