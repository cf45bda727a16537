"""`python -m demitasse` is the `demitasse` command."""

import sys

from demitasse.tools.main import main

sys.exit(main())
