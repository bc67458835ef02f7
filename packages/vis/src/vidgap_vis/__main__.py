"""`python -m vidgap_vis` is `vidgap`."""

import sys

from vidgap_vis.cli.main import main

sys.exit(main())
