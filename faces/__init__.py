"""Photo to faces, crops and embeddings. Knows nothing of galleries, training or HTTP."""
