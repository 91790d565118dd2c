"""What every store and blob store promises, as tests. Users take them from `acontext_store.testing`."""
