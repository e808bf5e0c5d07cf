"""python -m mta."""

import sys

if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        from mta.cli.worker import main
    else:
        from mta.cli.main import main
    main()
