"""HTML pages, made from templates."""
