//! Shards and their hosts.
