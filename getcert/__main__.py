"""Entry of `python -m getcert` and of the installed programs."""

import sys

from getcert.main import main

if __name__ == "__main__":
    sys.exit(main())
