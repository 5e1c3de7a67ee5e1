"""Rate, distortion and speed of the codec: `python -m eval --help`, from a checkout.

Results go to `eval/results/`, each with the machine, the versions and the command that made it.
"""

import inrcodec.cli  # noqa: F401  (as the command line: threads that sleep while they wait)
