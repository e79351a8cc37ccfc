"""The REST API: parse, call a use case, render. Owns no rule of the field; `control` does."""
