"""Dates of languages in which Django's own read wrongly: FORMAT_MODULE_PATH."""
