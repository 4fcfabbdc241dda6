"""`python -m heygemd`."""

from .cli import main

main()
