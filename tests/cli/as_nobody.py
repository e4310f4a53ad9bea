"""Runs a client program without privileges: as_nobody.py PROGRAM ARGUMENT…

The modules are loaded first, because the interpreter may be installed where other users cannot read.
"""

import importlib
import os
import pkgutil
import sys

import getcert
from getcert.main import main

NOBODY = 65534

for module in pkgutil.walk_packages(getcert.__path__, "getcert."):
    importlib.import_module(module.name)
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
sys.argv = sys.argv[1:]
sys.exit(main())
