//! extent-tree
