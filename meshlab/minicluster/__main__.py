"""``python -m meshlab.minicluster``: the daemon of one lab."""

import sys

from meshlab.minicluster.daemon import main

if __name__ == "__main__":
    sys.exit(main())
