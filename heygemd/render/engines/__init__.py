"""Lip-sync engines: their contract, the engines that ship with heygemd, and those found by name."""
