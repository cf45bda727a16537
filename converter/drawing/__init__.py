"""Drawings of networks: what stands in them, where, and as DOT or SVG text."""
