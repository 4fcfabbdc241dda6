"""The sample jobs of `heygemd demo`: clips made from a public-domain portrait, and a recorded voice."""
