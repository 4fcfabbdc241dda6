"""Contract suites for the authors of plug-in engines."""
