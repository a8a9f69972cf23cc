"""`python -m bootstrap.plugin [ENGINE]`: serves the provider; the Pulumi engine starts it by its launcher."""

import sys

from bootstrap.plugin.server import main

sys.exit(main(sys.argv[1:]))
