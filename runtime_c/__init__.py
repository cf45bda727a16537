"""The C runtime's sources, headers and build files, shipped as package data."""
