"""Fact tables in Parquet: written from records, read back, asked. The only room with engines."""
