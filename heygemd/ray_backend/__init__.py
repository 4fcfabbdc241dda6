"""Rendering on the machines of a Ray cluster: the driver's process and what runs on a node."""
