"""Random writes on the real parts while everything is killed, stalled and restarted, and a checker that looks at both sides."""
