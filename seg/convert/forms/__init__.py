"""Forms of annotation that masks are written in, a file for each tool: `seg.convert.writing` uses them.

What is written of a mask is its *part*: a file of its own, or, where a tool wants one file for all images, what that
file says of the mask. Parts are kept below ``.parts``, so that a repetition makes those of changed masks alone.
"""
