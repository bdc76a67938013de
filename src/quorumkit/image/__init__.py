"""The node image: one client and the node program, for the providers that run containers."""

from quorumkit.image.build import Image, build_image, find_image, image_tag

__all__ = ["Image", "build_image", "find_image", "image_tag"]
