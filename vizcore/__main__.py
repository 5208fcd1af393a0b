"""``python -m vizcore``: the same as the command ``vizcore``."""

import sys

from vizcore.cli import main

sys.exit(main())
