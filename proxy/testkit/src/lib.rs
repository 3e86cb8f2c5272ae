//! What patchgate's tests are made of. Everything listens on a port of its own on loopback, is ended when it is
//! dropped, and fails loudly: a part that cannot start panics with the reason.
//!
//! - [`upstream`]: a backend that answers as a closure says, and one that speaks raw bytes;
//! - [`http2`]: a backend and a client that speak HTTP/2, by a real library;
//! - [`client`]: a client that sends raw bytes and reads what really comes;
//! - [`load`]: many such clients at once, which count every failure;
//! - [`process`]: a real gateway process, its log and its signals;
//! - [`otlp`]: a collector that keeps the spans it gets;
//! - [`kubernetes`]: as much of its API as Helm needs;
//! - [`pki`]: certificates made on the spot, and both ends of TLS;
//! - [`table`]: test cases as text;
//! - [`tools`]: real programs from package registries.

pub mod client;
pub mod http2;
pub mod kubernetes;
pub mod load;
pub mod otlp;
pub mod pki;
pub mod process;
pub mod table;
pub mod tools;
pub mod upstream;

use std::time::{Duration, Instant};

/// How long [`eventually`] waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `look` finds something.
///
/// # Panics
/// When it has not after half a minute; `what` says what was waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        pause(Duration::from_millis(5));
    }
}

/// Lets time pass between two looks at something.
pub(crate) fn pause(time: Duration) {
    std::thread::park_timeout(time);
}
