"""Commands of `index` that look after a store: each parses, calls one function, prints."""
