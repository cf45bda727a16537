"""The `demitasse` command: finds the subcommand, prints its answer or its one-line error.

Exit status: 0 the answer is good, 1 it is bad (a limit that was asked for is not kept), 2 the
input is bad.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from argparse import (
    Action,
    ArgumentDefaultsHelpFormatter,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, TextIO

import demitasse
from demitasse.errors import DemitasseError, DemitasseWarning
from demitasse.runtime.operators import add_operators
from demitasse.tools.answer import Answer

# Each subcommand's module declares its options and runs it; its docstring is the help.
COMMANDS = {
    "compile": "prototxt caffemodel --data DATA -o net.demi",
    "inspect": "net.demi | prototxt [caffemodel] | caffemodel",
    "convert": "prototxt caffemodel --to demi|onnx|caffe -o FILE",
    "calibrate": "prototxt caffemodel --data DATA -o net.dstat",
    "threshold": "net.dstat -o net.dtable",
    "merge": "part1.dstat part2.dstat ... -o net.dstat",
    "quantize": "prototxt caffemodel --table net.dtable -o net.demi",
    "run": "net.demi --input NAME=FILE [-o out.npz]",
    "eval": "net.demi --data DATA --labels LABELS",
    "compare": "net.demi prototxt caffemodel --data DATA",
    "bench": "net.demi",
    "embed": "net.demi -o DIR",
    "pack": "net.demi [more.demi] --target TARGET -o DIR",
}
EPILOG = """\
the usual way:
  demitasse compile deploy.prototxt net.caffemodel --data images/ -o net.demi
  demitasse inspect net.demi
  demitasse run net.demi --input data=x.npy -o out.npz
"""


class Parser(ArgumentParser):
    """An ArgumentParser whose errors are of our family: one line, and where to find help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise DemitasseError(message, remedy=f"see {self.prog} --help")


class Formatter(RawDescriptionHelpFormatter, ArgumentDefaultsHelpFormatter):
    """Keeps the lines of descriptions, and shows the defaults that say something."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)
        self._action_max_length = 14  # argparse forgets how far it indents the commands

    def _get_help_string(self, action: Action) -> str | None:
        says_something = action.nargs != 0 and action.default not in (None, False, (), [])
        return super()._get_help_string(action) if says_something else action.help


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(lambda: parser(given[:1]).parse_args(given), "demitasse")


def guarded(parse: Callable[[], Namespace], prog: str) -> int:
    """Parse, run the options' `command` and print its answer; what goes wrong is one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DemitasseWarning)
            warnings.showwarning = partial(_show_warning, prog)
            return _run(parse())
    except DemitasseError as error:
        _say(prog, "error", str(error))
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is None:
            raise
        _say(prog, "error", f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        _say(prog, "error", "interrupted")
        return 128 + signal.SIGINT
    return 2


def _run(options: Namespace) -> int:
    for library in getattr(options, "operators", ()):
        add_operators(library)
    answer: Answer = options.command(options)
    if options.json:
        print(answer.json())
    elif not options.quiet:
        print(answer.text)
    sys.stdout.flush()
    return 0 if answer.good else 1


def parser(wanted: Sequence[str] = ()) -> Parser:
    """The command line; with the name of a subcommand, only that one's module is loaded."""
    top = Parser(
        prog="demitasse",
        description="From a trained Caffe network to a small integer binary.",
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    top.add_argument("--version", action="version", version=f"demitasse {demitasse.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in [name for name in COMMANDS if name in wanted] or COMMANDS:
        module = import_module(f"demitasse.tools.{name}")
        title, _, description = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            name,
            usage=f"demitasse {name} [options] {COMMANDS[name]}",
            help=title.rstrip("."),
            description=f"{title}\n{description.rstrip()}",
            formatter_class=Formatter,
        )
        module.declare(command)
        reporting(command)
        command.set_defaults(command=module.command)
    return top


def reporting(command: ArgumentParser) -> None:
    """How much is printed."""
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="print warnings and errors only")


def _show_warning(
    prog: str,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line a warning of ours; anything else is a developer's affair, and stays as it was."""
    if issubclass(category, DemitasseWarning):
        _say(prog, "warning", str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _say(prog: str, kind: str, message: str) -> None:
    first, *more = (line.strip() for line in message.splitlines())
    print(f"{prog}: {kind}: {' '.join([first, ' | '.join(more)]).strip()}", file=sys.stderr)
