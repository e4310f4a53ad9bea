"""Entry point of the daemon."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from certmongerd import __version__
from certmongerd.options import Options, parse_options

_COMPATIBLE_WITH: Final = "0.79.20"
"""The release of certmonger whose interface this is; programs such as Ansible's role ask `certmonger --version`."""


def main() -> NoReturn:
    """Run the daemon; never returns."""
    options = parse_options(sys.argv[1:])
    if options.show_version:
        print(_version(os.path.basename(sys.argv[0])))
        raise SystemExit(0)
    if options.show_helper_dir:
        from certmongerd.installation import helper_directory

        print(helper_directory())
        raise SystemExit(0)
    if options.check_config:
        from certmongerd.check import check_configuration

        raise SystemExit(check_configuration())
    _end(_run(options))


def _version(program: str) -> str:
    """What `--version` says when called as *program*."""
    own = f"certmongerd {__version__}"
    return f"certmonger {_COMPATIBLE_WITH} ({own})" if program in ("certmonger", "certmonger-session") else own


def _run(options: Options) -> int:
    gc.disable()  # until the daemon is ready: what is loaded stays
    from certmongerd.app import run
    from certmongerd.background import go_to_background
    from certmongerd.observe.log import set_up_logging

    os.umask(0o077)
    say_ready: Callable[[], None] | None = None
    if not options.foreground:
        say_ready = go_to_background()
    set_up_logging(foreground=options.foreground, debug_level=options.debug_level, as_json=options.json_log)
    try:
        return asyncio.run(run(options, say_ready))
    except KeyboardInterrupt:
        return 0


def _end(status: int) -> NoReturn:
    """Leave at once: threads that still generate a key must not delay the end, and all that counts is on disk."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
