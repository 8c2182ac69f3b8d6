"""The words of the project: plain values without behaviour at the edges. Nothing here does I/O."""
