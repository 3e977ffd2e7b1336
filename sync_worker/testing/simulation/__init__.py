"""The whole system in one process under virtual time: the real pipeline between simulated parts, in an order a seed decides."""
