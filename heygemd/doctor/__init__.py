"""Checks of an installation, each with how to fix what it finds."""
