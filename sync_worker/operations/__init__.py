"""One module per operator verb: ports in, a frozen report out. Nothing here prints, and nothing here knows an adapter."""
