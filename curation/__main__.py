"""`python -m curation`: the `curate` command."""

from curation.cli import main

if __name__ == "__main__":
    main()
