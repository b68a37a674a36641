"""People's photos, the views that a student and its teacher are shown of them, and batches of those."""
