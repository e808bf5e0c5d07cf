"""python -m mta."""

from mta.cli.main import main

if __name__ == "__main__":
    main()
