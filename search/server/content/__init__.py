"""The content that routes answer with: studies, events of jobs, classified images, and files below the roots."""
