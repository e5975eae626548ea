//! Carries committed events to consumers.
