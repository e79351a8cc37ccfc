"""The need file: what a user says of his work before it runs, read strictly into the measuring room's `Need`.

Owns the YAML (or JSON) form and its errors. Knows no device, site or price; it opens no file of the user's.
"""

from suanwang.needfile.reading import need_from, read_need

__all__ = ["need_from", "read_need"]
