"""Where log records go: standard error in the foreground, syslog otherwise."""

import logging
import logging.handlers
import sys
import time
from typing import Final

_FORMAT: Final = "%(asctime)s [%(process)d] %(message)s"
_FIRST_TALKATIVE_LEVEL: Final = 1
_FIRST_DEBUG_LEVEL: Final = 4


def set_up_logging(*, foreground: bool, debug_level: int) -> None:
    """Send records to standard error or syslog.

    Level 0 shows warnings, 1 to 3 every state change, 4 and more everything.
    """
    handler: logging.Handler
    if foreground:
        handler = logging.StreamHandler(sys.stderr)
        formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    else:
        handler = logging.handlers.SysLogHandler("/dev/log", facility=logging.handlers.SysLogHandler.LOG_DAEMON)
        handler.setFormatter(logging.Formatter("certmongerd[%(process)d]: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    if debug_level >= _FIRST_DEBUG_LEVEL:
        root.setLevel(logging.DEBUG)
    elif debug_level >= _FIRST_TALKATIVE_LEVEL:
        root.setLevel(logging.INFO)
    else:
        root.setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
