"""The users' share behind `share_fs` and `share_paths`, and the local disks behind `atomic`."""
