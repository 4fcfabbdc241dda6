"""Faces: detection, landmarks, tracking, smoothing, occlusion, pose, mouth shape."""
