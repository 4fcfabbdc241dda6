"""Where videos are rendered: on this machine or on a Ray cluster."""
