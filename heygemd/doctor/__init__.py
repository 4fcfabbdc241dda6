"""Checks of an installation, with fixes for the problems found."""
