"""HTML pages, rendered from templates."""
