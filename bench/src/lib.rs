//! Workloads and measurements.
#![forbid(unsafe_code)]
