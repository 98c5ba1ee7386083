"""The whole system in one process, to try it out: `make demo`. It needs DEBUG and nothing that is not in the venv."""
