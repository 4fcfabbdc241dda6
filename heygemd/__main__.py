"""`python -m heygemd`."""

from .cli.main import main

main()
