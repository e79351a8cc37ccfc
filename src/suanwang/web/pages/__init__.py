"""One module per page: read the request, call a use case, render."""
