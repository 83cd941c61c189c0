"""`make images`: builds the images, starts them as a cluster would, and measures them.

`sbom.py` runs inside an image while it is built; everything else runs on the machine that builds.
"""
