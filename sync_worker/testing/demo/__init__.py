"""`make demo`: the whole chain at work on real cities. Every line of its table was observed, or the demo fails."""
