"""`python -m inrcodec`: the command line."""

from inrcodec.cli import main

if __name__ == "__main__":
    main(prog_name="inrcodec")
