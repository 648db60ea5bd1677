"""What takes a store, a scanner or a cache beside the database: alternating hops and ports."""
