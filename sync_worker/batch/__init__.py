"""What is sent together: coalescing, payloads, metadata, pace, bisection. Pure."""
