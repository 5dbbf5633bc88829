"""The one exception that users see: a single line that names the setting or file at fault."""

import re

HEADLINE = re.compile(r"^[\w.]*(Error|Exception|Exit|Interrupt|Timeout|Failed): \S")  # how a traceback ends


class DDBError(Exception):
    """A mistake in the input (configuration, data, environment) that its author can mend.

    The command line prints the message without a traceback and exits with code 2; anything else is a bug in this code.
    """


class Interrupted(DDBError):
    """The run was asked to end early (`ddb.interrupt`); the same command goes on from what is there."""


def headline(text: str) -> str:
    """One line of `text` for the console: the exception that a traceback ends with, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if HEADLINE.match(line)), lines[-1] if lines else "no message")
