"""The commands, each thin: what a request asks for, objects of it, a library function that does the work.

They are the only place that knows Hydra; what is particular about its command line is in `seg.commands.cli`.
"""
