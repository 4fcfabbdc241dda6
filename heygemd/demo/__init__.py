"""A sample job that needs nothing from outside: a public-domain portrait set in motion, and a recorded voice."""
