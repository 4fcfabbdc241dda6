"""Pictures: decoding, frame order, compositing, encoding."""
