"""`clawgate`: the command line. Ring: entry. Source: design §2 (cli), §4.8 (the CLI talks to the live daemon over its socket).

Commands parse, call and print; they stand in `clawgate.commands`, where the exit codes are listed (`commands/operator.py`). Here every error becomes one
sentence on stderr and an exit code: an operator's mistake never shows a traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from clawgate.commands import audit, channels, chat, checking, control, cron, daemon, inbox, openapi, pairing, sessions, subscriptions, tasks, trigger
from clawgate.commands.operator import EX_USAGE, exit_code_of
from clawgate.commands.output import safe
from clawgate.domain.errors import GatewayError, InvalidSettings


class Failed(click.ClickException):
    """An error as click ends a command with it."""

    def __init__(self, problem: GatewayError) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.exit_code = exit_code_of(problem)  # type: ignore[misc]  # click reads it off the instance

    def show(self, file: Any = None) -> None:  # click's own signature takes any text stream
        """One line for each problem, on stderr."""
        problems: tuple[GatewayError, ...] = self.problem.problems if isinstance(self.problem, InvalidSettings) else (self.problem,)
        for problem in problems:
            click.echo(f"clawgate: {safe(problem, keep_lines=True)}", file=file, err=True)


class Program(click.Group):
    """The group, with our exit codes."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # passed on as they are
        """As click's; wrong usage ends with 64."""
        with _ending():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # whatever a command returns
        """As click's; our errors become sentences."""
        with _ending():
            return super().invoke(ctx)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except click.UsageError as problem:
        raise _misused(problem) from None
    except UnicodeEncodeError:
        raise _misused(click.UsageError("an argument or the input is not UTF-8 text")) from None
    except BrokenPipeError:
        _close_stdout()
        raise click.exceptions.Exit(0) from None
    except GatewayError as problem:
        raise Failed(problem) from None


def _misused(problem: click.UsageError) -> click.UsageError:
    problem.exit_code = EX_USAGE  # type: ignore[misc]  # click reads it off the instance
    return problem


def _close_stdout() -> None:
    """Whoever read us has seen enough: what is still buffered goes nowhere, and nobody complains when it is flushed."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="clawgate", message="clawgate %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """The front door of AI agents."""
    context.obj = dict(os.environ)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")  # a terminal that cannot show a character is no reason to fail


for command in (
    daemon.init,
    daemon.run,
    daemon.status,
    checking.check,
    checking.doctor,
    pairing.pair,
    pairing.devices,
    inbox.inbox,
    inbox.send,
    subscriptions.subscriptions,
    audit.audit,
    chat.chat,
    sessions.sessions,
    cron.cron,
    channels.channels,
    tasks.tasks,
    trigger.trigger,
    control.control,
    openapi.openapi,
):
    cli.add_command(command)


def main() -> None:
    """The `clawgate` program; ends the process."""
    cli(prog_name="clawgate")
