"""How static files are named and found."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """
    Names with a hash, for the files that `collectstatic` hashed and compressed. Any other file keeps its own name: in a
    checkout nothing is collected, and WhiteNoise serves files from where they stand.
    """

    def stored_name(self, name: str) -> str:
        try:
            stored: str = super().stored_name(name)
        except ValueError:  # it is not in the manifest
            return name
        return stored
