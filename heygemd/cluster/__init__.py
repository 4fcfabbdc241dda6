"""Rendering on the nodes of a Ray cluster: the bridge (Ray's driver, a process of its own) and what runs on a node."""
