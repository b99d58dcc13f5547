"""``python -m medvlsam2.cli``: the command without its installed script."""

import sys

from medvlsam2.cli.program import main

sys.exit(main())
