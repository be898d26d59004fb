//! Reading telemetry back.
