"""``python -m meshlab.minicluster.mesh.istio.istioctl``: what the lab's ``istioctl`` script runs."""

import sys

from meshlab.minicluster.mesh.istio.istioctl import main

sys.exit(main(sys.argv[1:]))
