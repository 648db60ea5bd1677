"""The database and the Redis-compatible store that start by themselves where no URL names a server."""
