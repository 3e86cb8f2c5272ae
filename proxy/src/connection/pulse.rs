//! Looks at a connection's [watch](super::watch) when it is time.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use patchgate_config::snapshot::Limits;
use tokio::time::{Instant, Sleep};

use super::Connection;
use super::watch::{Finding, TICK, Watch};

/// See the module.
pub(super) struct Pulse<'a> {
    tick: Pin<&'a mut Sleep>,
    /// Whom the tick wakes; as long as that is so, polling it again would say nothing new.
    wakes: Option<Waker>,
    watch: Watch,
    connection: &'a Connection,
    limits: &'a Limits,
}

impl<'a> Pulse<'a> {
    /// `tick` is to be the first.
    pub(super) fn new(tick: Pin<&'a mut Sleep>, connection: &'a Connection, limits: &'a Limits) -> Self {
        let watch = Watch::new(Instant::now(), &connection.traffic);
        Self { tick, wakes: None, watch, connection, limits }
    }

    /// Ready with anything that is to be done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finding> {
        if self.wakes.as_ref().is_some_and(|wakes| wakes.will_wake(cx.waker())) && !self.tick.is_elapsed() {
            return Poll::Pending;
        }
        while self.tick.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let Connection { streams, traffic, worker, .. } = self.connection;
            streams.cut_stalled(now, self.limits.body_idle_timeout);
            self.tick.as_mut().reset(now + TICK);
            match self.watch.look(now, traffic, self.limits, worker.is_draining()) {
                Finding::Fine => {}
                finding => {
                    self.wakes = None;
                    return Poll::Ready(finding);
                }
            }
        }
        self.wakes = Some(cx.waker().clone());
        Poll::Pending
    }
}
