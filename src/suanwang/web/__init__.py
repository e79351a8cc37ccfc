"""The web pages: what a person sees of the network in a browser, in Chinese and English.

Owns pages, their wording and their streams. Pages call the use cases of `control.network` in the same process; they know
neither the API nor the database.
"""

from suanwang.web.mounting import error_page, mount_web

__all__ = ["error_page", "mount_web"]
