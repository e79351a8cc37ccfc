"""A provider's `site.yaml`: what the site declares to the network, and how its agent reaches the site's scheduler."""

from suanwang.sitefile.reading import ConnectorOptions, SiteDeclaration, read_site

__all__ = ["ConnectorOptions", "SiteDeclaration", "read_site"]
