"""The voice: loading, quality, mel spectrograms, voice activity, number of speakers."""
