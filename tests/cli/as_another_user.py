"""Runs a client program as another user: as_another_user.py USER PROGRAM ARGUMENT…

The modules are loaded first, because the interpreter may be installed where other users cannot read.
"""

import importlib
import os
import pkgutil
import pwd
import sys

import getcert
from getcert.main import main

for module in pkgutil.walk_packages(getcert.__path__, "getcert."):
    importlib.import_module(module.name)
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
sys.argv = sys.argv[2:]
sys.exit(main())
