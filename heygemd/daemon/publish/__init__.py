"""Results, reports and finished folders."""
