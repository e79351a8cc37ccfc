"""The need file: what a user says of his work before it runs, read strictly into the measuring room's `Need`.

Owns the YAML (or JSON) form and its errors. Knows no device, site or price; it opens no file of the user's.
"""

from suanwang.needfile.reading import need_from, need_schemas, read_need
from suanwang.needfile.telling import is_need

__all__ = ["is_need", "need_from", "need_schemas", "read_need"]
