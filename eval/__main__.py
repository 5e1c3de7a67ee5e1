"""`python -m eval`: the commands, or what to install where their packages are missing."""

from __future__ import annotations

import sys

USAGE = """Usage: python -m eval [OPTIONS] COMMAND [ARGS]...

  Measure rate, distortion and speed: rd, study, report, prefixes, readme, speed, against, codecs.
"""

INSTALL = "python -m eval needs the package {}: pip install -e '.[eval]'"


def main() -> None:
    """Run a command, if its packages are there."""
    try:
        from eval import commands
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("eval", "inrcodec", "datasets"):
            raise
        message = INSTALL.format(error.name)
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(f"{USAGE}\n{message}")
            return
        sys.exit(f"Error: {message}")
    commands.main(prog_name="python -m eval")


if __name__ == "__main__":
    main()
