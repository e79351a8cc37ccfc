"""算力交易: accounts and transfers, how a bill line is split, the log's tree, and a bill that proves itself. Pure."""
