//! Requests off a connection that is a piece of memory: what the fuzz target and the property tests read. No part of
//! the data plane.

use bytes::BytesMut;

use super::head::{Bounds, Kept, parse};

/// The requests in `input`, each as text with its body and trailer fields, read in pieces of `step` bytes. Ends where
/// a connection would: at the last that may have another behind it, and before what is refused or not whole.
#[must_use]
pub fn requests(input: &[u8], step: usize) -> Vec<String> {
    let bounds = Bounds { bytes: 64 * 1024, fields: 100 };
    let (mut pieces, mut read, mut kept) = (input.chunks(step.max(1)), BytesMut::new(), Kept::default());
    let mut requests = Vec::new();
    loop {
        let head = loop {
            match parse(&mut read, bounds, &mut kept) {
                Ok(Some(head)) => break head,
                Ok(None) => match pieces.next() {
                    Some(piece) => read.extend_from_slice(piece),
                    None => return requests,
                },
                Err(_) => return requests,
            }
        };
        let mut body = head.body;
        let (mut data, mut trailers) = (Vec::new(), None);
        while !body.is_done() {
            match body.decode(&mut read) {
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(piece) => data.extend_from_slice(&piece),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                Ok(None) if body.is_done() => {}
                Ok(None) => match pieces.next() {
                    Some(piece) => read.extend_from_slice(piece),
                    None => return requests,
                },
                Err(_) => return requests,
            }
        }
        requests.push(format!(
            "{:?} {:?} {:?} {:?}",
            head.parts,
            head.asked,
            data.escape_ascii().to_string(),
            trailers
        ));
        if !head.asked.persistent {
            return requests;
        }
    }
}
