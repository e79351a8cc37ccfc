"""The network's own store of content-addressed bytes, over any file system that fsspec reaches."""

from suanwang.adapters.files.fsspec_files import MAX_PART_BYTES, MAX_PARTS, FsspecFiles

__all__ = ["MAX_PARTS", "MAX_PART_BYTES", "FsspecFiles"]
