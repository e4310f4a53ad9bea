"""Dispatch: which command, with which options, under which of the program's names."""

import importlib
import io
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TextIO, cast

from getcert.context import Context
from getcert.errors import EXIT_FAILURE, CommandFailed, UsageError
from getcert.help import Groups, command_help, general_help, option_listing, option_names
from getcert.options import OptionListingRequested, ParsedOptions, parse_options

PINNED_CAS: Final[Mapping[str, str]] = {
    "ipa-getcert": "IPA",
    "local-getcert": "local",
    "selfsign-getcert": "SelfSign",
}
"""Names of the program that stand for `getcert … -c CA`."""

_DEFAULT_HOST: Final = "localhost"


class CommandModule(Protocol):
    """What a module in `getcert.commands` has."""

    GROUPS: Groups
    HIDDEN: Sequence[str]
    run: Callable[[Context], int]


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the command table."""

    module: str
    summary: str
    edits_cas: bool = False
    """Not offered where the CA is pinned."""
    operands: tuple[str, ...] = ()
    """What the command takes besides options, as its help and shells name it; it checks them itself."""

    def load(self) -> CommandModule:
        """Import the module, which is put off until its command is called for."""
        return cast("CommandModule", importlib.import_module(f"getcert.commands.{self.module}"))


COMMANDS: Final[Mapping[str, Command]] = {
    "request": Command("request", "get a certificate, with a new key where there is none"),
    "start-tracking": Command("start_tracking", "watch over a certificate that exists already"),
    "stop-tracking": Command("stop_tracking", "forget a certificate; its files stay"),
    "resubmit": Command("resubmit", "ask the CA once more, with the same key"),
    "rekey": Command("rekey", "replace key and certificate"),
    "refresh": Command("refresh", "ask the CA now about requests it has not answered"),
    "list": Command("list_requests", "show certificates and requests"),
    "status": Command("status", "tell by the exit status how a request stands"),
    "show": Command("show", "show certificate, chain and signing request in readable form"),
    "watch": Command("watch", "follow live what happens"),
    "why": Command("why", "explain how a request stands, and what happens next"),
    "history": Command("history", "show what happened to a request, and when"),
    "simulate": Command("simulate", "foretell renewals, key changes and the load of each CA"),
    "get-cert": Command("get_cert", "have a SCEP server send a certificate again"),
    "get-crl": Command("get_crl", "have a SCEP server send its revocation list"),
    "apply": Command("apply", "make CAs and requests what a file declares", edits_cas=True),
    "add-ca": Command("add_ca", "add a CA that has a helper program", edits_cas=True),
    "add-scep-ca": Command("add_scep_ca", "add a CA that speaks SCEP", edits_cas=True),
    "add-acme-ca": Command("add_acme_ca", "add a CA that speaks ACME", edits_cas=True),
    "add-est-ca": Command("add_est_ca", "add a CA that speaks EST", edits_cas=True),
    "list-cas": Command("list_cas", "show the CAs"),
    "modify-ca": Command("modify_ca", "change the helper program of a CA", edits_cas=True),
    "refresh-ca": Command("refresh_ca", "ask CAs for their certificates and profiles again"),
    "completion": Command(
        "completion", "print a script that lets a shell complete commands", operands=("bash", "zsh", "fish")
    ),
    "remove-ca": Command("remove_ca", "forget a CA", edits_cas=True),
}

_NAMES_EXTRA_ARGUMENTS: Final = "request"
"""The command that names each argument it cannot use."""


def _print(out: TextIO, lines: Iterable[str]) -> None:
    out.writelines(f"{line}\n" for line in lines)


def _refuse_arguments(verb: str, options: ParsedOptions) -> None:
    if not options.arguments:
        return
    named = options.arguments if verb == _NAMES_EXTRA_ARGUMENTS else ()
    raise UsageError(
        *(f'Error: unused extra argument "{argument}".' for argument in named),
        "Error: unused extra arguments were supplied.",
    )


def _host() -> str:
    return socket.gethostname() or _DEFAULT_HOST


def _run_command(program: str, verb: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; what goes wrong is told on standard output, where --output was given on standard error."""
    out = sys.stdout
    command = COMMANDS[verb]
    module = command.load()
    pinned_ca = PINNED_CAS.get(program)
    without = () if pinned_ca is None else ("ca",)
    names = option_names(module.GROUPS, hidden=module.HIDDEN, without=without)
    remarks = out
    try:
        options = parse_options(names, arguments)
        if options.given("output"):
            remarks = sys.stderr
        context = Context(
            program=program,
            pinned_ca=pinned_ca,
            options=options,
            environment=environment,
            out=out,
            remarks=remarks,
            host=_host,
        )
        if not command.operands:
            _refuse_arguments(verb, options)
        return module.run(context)
    except OptionListingRequested:
        _print(out, option_listing(program, verb, names))
        return EXIT_FAILURE
    except UsageError as exc:
        _print(remarks, exc.lines)
        groups = module.GROUPS
        _print(
            remarks,
            command_help(program, verb, command.summary, groups, operands=command.operands, without=without),
        )
        return exc.status
    except CommandFailed as exc:
        _print(remarks, exc.lines)
        return exc.status


def run(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the program under the name *program*; the exit status."""
    offered = {name: row for name, row in COMMANDS.items() if not (row.edits_cas and program in PINNED_CAS)}
    listing = [(name, row.summary) for name, row in offered.items()]
    if not arguments:
        _print(sys.stdout, general_help(program, listing))
        return EXIT_FAILURE
    verb, *rest = arguments
    if verb not in offered:
        sys.stderr.write(f"{verb}: unrecognized command\n")
        if verb.startswith("-"):
            _print(sys.stdout, general_help(program, listing))
        return EXIT_FAILURE
    return _run_command(program, verb, rest, environment)


def main() -> int:
    """Entry point of getcert and its aliases."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    program = os.path.basename(sys.argv[0])
    try:
        status = run(program if program in PINNED_CAS else "getcert", sys.argv[1:], os.environ)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away. Nothing is left to say, and the interpreter must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return 130
    return status
