//! OTLP: requests to a collector that misbehaves in every way, and spans that are sent as they end.

/// What the lifecycle sends while a build runs.
mod live;
/// What phases could not deliver, and what nobody may see.
mod ship;
/// One request, one answer.
mod transports;
