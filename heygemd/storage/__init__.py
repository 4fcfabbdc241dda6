"""The users' share behind `share_fs`, and the local disks behind `atomic`."""
