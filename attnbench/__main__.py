"""``python -m attnbench`` is the command ``attnbench``."""

from attnbench.bench.__main__ import console_script

if __name__ == "__main__":
    console_script()
