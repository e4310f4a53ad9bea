"""Runs functions of FreeIPA's ipalib.install.certmonger, unmodified, with the Python that Debian's packages belong to.

Each line on standard input is JSON: a function's name, its positional and its keyword arguments. Each line on standard
output is its answer: `{"result": …}`, or `{"error": …}` with what was raised. Variables of the environment:
`CERTMONGER` is the daemon that the module starts where there is no system bus, instead of /usr/sbin/certmonger.
"""

import json
import os
import sys
import time
from types import SimpleNamespace

from ipalib import api
from ipalib.install import certmonger
from ipaplatform.paths import paths

PAUSE_S = 2.5
"""Instead of the five seconds that the module gives the daemon it starts, and until it looks again for its end."""


def sleep(seconds: float) -> None:
    """Sleep for up to PAUSE_S, and no longer than until a child process ends."""
    until = time.monotonic() + min(seconds, PAUSE_S)
    while time.monotonic() < until:
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                return
        except ChildProcessError:
            pass
        time.sleep(0.02)


if "CERTMONGER" in os.environ:
    paths.CERTMONGER = os.environ["CERTMONGER"]
certmonger.time = SimpleNamespace(time=time.time, sleep=sleep)
api.bootstrap(context="tests", confdir=os.environ["HOME"], log=None)


def plain(value: object) -> object:
    """*value* in types that JSON has; python-dbus has its own for strings and numbers."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    return value


for line in sys.stdin:
    name, arguments, keywords = json.loads(line)
    try:
        answer = {"result": plain(getattr(certmonger, name)(*arguments, **keywords))}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
