"""Readers of other libraries' weight files, without those libraries."""
