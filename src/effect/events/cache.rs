//! What a user hears of caches.

/// Something that happened in caches.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheEvent {}
