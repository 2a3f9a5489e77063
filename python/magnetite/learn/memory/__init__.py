"""What is remembered between steps."""
