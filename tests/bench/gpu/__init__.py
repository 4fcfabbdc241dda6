"""What only a GPU decides, measured and checked by one command: `make gpu`. See `__main__`."""
