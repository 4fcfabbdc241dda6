"""Publishes results and reports, and removes old finished folders."""
