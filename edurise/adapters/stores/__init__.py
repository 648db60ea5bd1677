"""Stores of files: the local disk and S3, behind the port ``FileStore``."""
