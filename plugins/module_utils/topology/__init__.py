"""The topology model: what an inventory says a cluster is, and what is wrong with it."""
