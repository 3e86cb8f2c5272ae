//! Any bytes a client sends are the same requests in whatever pieces they come, and never worse than refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchgate_proxy::fuzzing::requests;

fuzz_target!(|input: &[u8]| {
    let whole = requests(input, usize::MAX);
    for step in [1, 7, 64] {
        assert_eq!(requests(input, step), whole, "in pieces of {step}");
    }
});
