"""Schemas of the ledger, oldest first; run by ledger/database.py, offline."""
