"""Where Templates live: SQLite is the truth, FAISS the cache. The only home of both."""
