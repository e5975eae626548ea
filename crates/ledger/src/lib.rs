//! Double entry: decides whether money may move.
