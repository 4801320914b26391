"""`accelerate launch -m sft run config.yaml`: the command line in several processes."""

from sft.cli import main

if __name__ == "__main__":
    main()
