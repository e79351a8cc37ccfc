"""算力编排: which site takes which job. Snapshot in, plan out. Pure."""
