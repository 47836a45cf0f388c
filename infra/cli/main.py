"""The command `intentstream`: finds the command that was asked for, and turns what it raises into an exit code.

Imports next to nothing, so that `--help` and a mistyped name are answered at once.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING

import click

from schemas.errors import IntentStreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
BROKEN_PIPE = 141
INTERNAL = 70
INPUT_OUTPUT = 74

_NO_PLACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR})
"""What a state folder that cannot be used is refused with."""

SUMMARIES = {
    "up": "Start everything and watch utterances become intents.",
    "worker": "Run one worker until it is told to stop.",
    "classify": "Say which intent a text has.",
    "produce": "Publish utterances from a file or from standard input.",
    "tail": "Show what arrives on a topic.",
    "explain": "Show one decision as it was taken.",
    "replay": "Classify a stretch of the past again, and tell what differs.",
    "prepare": "Make the models that are not there yet.",
    "train": "Fine-tune a DistilBERT for a catalogue and install it.",
    "models": "Push, promote and roll back releases of models and catalogue.",
    "topics": "Create the topics and bring them in line.",
    "deadletter": "List records that could not be processed, and send them again.",
    "feedback": "Show what a person's corrections teach, or take it back.",
    "forget": "Make what a person said unreadable, and delete what was kept of it.",
    "results": "Ask what was answered: recent, by user, by intent, how well.",
    "flags": "Show, check and change feature flags.",
    "experiments": "Compare routing strategies, and give everyone the best.",
    "rollout": "Let flags climb by themselves while their guardrails hold.",
    "catalogue": "Check a catalogue of intents, or list it.",
    "settings": "Show every setting, its value and where it is set.",
    "doctor": "Check everything a worker needs and say what to do.",
    "evaluate": "Train on a folder of labelled texts, once, and measure on its test texts.",
    "simulate": "Play a stream to people who correct it, or the core among faults, with time of its own.",
    "bench": "Measure this machine against others' work.",
    "chaos": "Break everything on purpose, and see that nothing is lost.",
    "soak": "Run for long at a steady load while things break, and see that nothing grows.",
}
"""What `--help` says of each command; its module has the same name and calls it `command`."""


class _Commands(click.Group):
    """The commands, none of them imported before it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """Return the names, in the order of the help."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click passes it
        """Import a command."""
        if cmd_name not in SUMMARIES:
            return None
        command: click.Command = importlib.import_module(f"infra.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click passes it
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="intentstream", prog_name="intentstream")
def cli() -> None:
    """Classify a stream of utterances on Kafka: every one answered with an intent, exactly once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code.

    Without the interpreter's own ending: what had to be closed is closed by then, and a daemon thread that is still in
    native code, a model being loaded or a broker being asked, would abort the process on its way out.
    """
    exit_code = run(sys.argv[1:] if arguments is None else arguments)
    with contextlib.suppress(OSError, ValueError):  # whoever read us may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(exit_code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing is raised."""
    try:
        with cli.make_context("intentstream", list(arguments)) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has no reader; the interpreter would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost guard: a bug of ours is one sentence, too
        return _explain(error)
    return 0


def _explain(error: Exception) -> int:
    """Say on standard error what is wrong, and return the exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, IntentStreamError):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, OSError):
        if _wants_trace():
            traceback.print_exception(error)
        click.echo(f"{_describe(error)}.", err=True)
        return INPUT_OUTPUT
    _confess(error)
    return INTERNAL


def _describe(error: OSError) -> str:
    """Say what the operating system refuses; where it is about what we keep, how to keep it elsewhere."""
    said = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return f"{said}; make room there, or set INTENTSTREAM_STATE_FOLDER" if error.errno in _NO_PLACE else said


def _confess(error: Exception) -> None:
    """Say that we have a bug; where exactly, only to who asked for it."""
    if _wants_trace():
        traceback.print_exception(error)
        return
    click.echo(
        f"intentstream met a fault of its own ({type(error).__name__}); "
        "run again with INTENTSTREAM_LOGS__LEVEL=DEBUG for the trace.",
        err=True,
    )


def _wants_trace() -> bool:
    from schemas.settings_loading import load_settings  # noqa: PLC0415 - takes longer to import than all of this

    try:
        return load_settings().logs.level == "DEBUG"
    except IntentStreamError:
        return False


if __name__ == "__main__":
    main()
