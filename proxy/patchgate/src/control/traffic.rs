//! Traffic of the last seconds and minutes: the workers' counters, read each second, subtracted from each other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use patchgate_proxy::handle::Handle;
use patchgate_proxy::telemetry::traffic::{Rates, Traffic};

/// Rates are over this many seconds,
const SECONDS: usize = 10;

/// and effects are estimated from this many minutes.
const MINUTES: usize = 5;

/// See the module.
#[derive(Debug)]
pub(super) struct Sampler {
    handle: Handle,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// Each second, the newest last.
    seconds: VecDeque<Traffic>,
    /// Each minute.
    minutes: VecDeque<Traffic>,
}

impl Sampler {
    pub(super) fn new(handle: Handle) -> Self {
        let first = handle.traffic();
        let read = Read { seconds: VecDeque::from([first.clone()]), minutes: VecDeque::from([first]) };
        Self { handle, read: Mutex::new(read) }
    }

    /// Reads on, for as long as the runtime lasts.
    pub(super) async fn run(self: Arc<Self>) {
        let mut second = 0_usize;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            second += 1;
            let now = self.handle.traffic();
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if second.is_multiple_of(60) {
                keep(&mut read.minutes, now.clone(), MINUTES);
            }
            keep(&mut read.seconds, now, SECONDS);
        }
    }

    /// Over the last seconds.
    pub(super) fn rates(&self) -> Rates {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        since(read.seconds.front(), &self.handle.traffic())
    }

    /// Over the last minutes, or as long as there has been traffic to read.
    pub(super) fn minutes(&self) -> Rates {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        since(read.minutes.front(), &self.handle.traffic())
    }
}

fn keep(read: &mut VecDeque<Traffic>, now: Traffic, most: usize) {
    if read.len() == most {
        read.pop_front();
    }
    read.push_back(now);
}

fn since(earlier: Option<&Traffic>, now: &Traffic) -> Rates {
    now.since(earlier.unwrap_or(now))
}
