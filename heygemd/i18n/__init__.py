"""Messages for people in every language, by code."""
