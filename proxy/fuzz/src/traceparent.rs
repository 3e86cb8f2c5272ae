//! Any field value is judged as a `traceparent` as the model of the property tests does.

#![no_main]

#[path = "../../tests/trust_model/parent.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| model::check_parent(value));
