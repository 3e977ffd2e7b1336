"""The watch: what was recorded of the chain against what is seen of it now → findings. No I/O."""
