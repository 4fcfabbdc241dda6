"""heygemd: presenters' videos say a new voice recording, from a watched folder."""
