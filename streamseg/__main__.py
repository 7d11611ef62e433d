"""``python -m streamseg`` is the command ``streamseg``."""

import sys

from streamseg.cli import main

sys.exit(main())
