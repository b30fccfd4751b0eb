"""`python -m aowhisk`."""

from aowhisk.cli import main

if __name__ == "__main__":
    main()
