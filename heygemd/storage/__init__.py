"""The share that people use and the local state, each behind one module."""
