"""A thin ctypes binding of the C runtime."""
