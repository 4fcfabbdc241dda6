"""From a folder in the inbox to a claimed job."""
