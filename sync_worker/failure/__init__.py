"""Failed work: reason classes, the policy table with remedies, backoff, flood guard. Pure."""
