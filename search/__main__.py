"""`python -m search` is the command line too."""

from search.cli.main import main

if __name__ == "__main__":
    main()
