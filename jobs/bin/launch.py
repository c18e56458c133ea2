"""The entry file for spark-submit and Glue, which want a file: `launch.py PIPELINE [--env prod] [--select step+] [--param name=value]`."""

from __future__ import annotations

import sys

from penstock.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
