"""算力路由: distances, delays and paths between places. Pure."""
