"""``python -m bft_nas``, as ``torchrun -m bft_nas`` runs it."""

import sys

from bft_nas.cli.main import main

sys.exit(main())
