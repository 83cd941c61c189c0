"""`python -m rephrase_worker`."""

from rephrase_worker.cli import main

if __name__ == "__main__":
    main()
