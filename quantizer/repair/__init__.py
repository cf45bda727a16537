"""What makes integers more accurate without changing what the network computes."""
