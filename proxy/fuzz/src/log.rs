//! Any lines are events that follow one another, or the first that must not is told; and what was taken is written as it
//! was read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchgate_admin::log::Fold;
use patchgate_admin::rollout::codec;
use patchgate_admin::store::{Head, Record};

fuzz_target!(|input: &[u8]| {
    let (mut fold, mut head) = (Fold::default(), Head::EMPTY);
    for payload in input.split(|&byte| byte == b'\n') {
        let next = head.next(payload);
        let record = Record { sequence: next.sequence, hash: next.hash, payload: payload.to_vec().into() };
        let before = fold.state().clone();
        match fold.record(&record) {
            Ok(envelope) => {
                let again = codec::decode(&codec::encode(&envelope)).expect("what is written can be read");
                assert_eq!(format!("{again:?}"), format!("{envelope:?}"));
                head = next;
            }
            Err(_) => {
                assert_eq!(format!("{:?}", fold.state()), format!("{before:?}"), "what is refused changes nothing");
                return;
            }
        }
    }
});
