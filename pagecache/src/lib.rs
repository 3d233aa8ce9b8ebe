//! pagecache
