//! The access log: one JSON line for each exported request, off by default.
//!
//! Written by a thread of its own behind a bounded queue; a line that finds no room is dropped and counted.

use std::io::Write;
use std::sync::mpsc;

use patchgate_config::snapshot::LocalAnswer;
use tokio::sync::oneshot;

use crate::exchange::{Exchange, Facts};

/// Lines that may wait.
const WAITING: usize = 8192;

/// The workers' end.
#[derive(Debug, Clone)]
pub struct AccessLog {
    lines: mpsc::SyncSender<String>,
}

impl AccessLog {
    /// Starts the thread that writes to standard output; it ends, and tells so, once every log is dropped and all
    /// lines are written.
    ///
    /// # Errors
    /// That of the operating system, if no thread can be made.
    pub fn start() -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (lines, waiting) = mpsc::sync_channel::<String>(WAITING);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            while let Ok(first) = waiting.recv() {
                let mut out = std::io::stdout().lock();
                // A reader that is gone is no reason to stop serving.
                let mut written = writeln!(out, "{first}");
                while let Ok(next) = waiting.try_recv() {
                    written = written.and_then(|()| writeln!(out, "{next}"));
                }
                let _ = written.and_then(|()| out.flush());
            }
            // Nobody waits when the process ends without a flush.
            let _ = end.send(());
        })?;
        Ok((Self { lines }, ended))
    }

    /// One that has room for nothing.
    #[cfg(feature = "simulation")]
    pub(super) fn nowhere() -> Self {
        Self { lines: mpsc::sync_channel(0).0 }
    }

    /// Writes a request's line; false if there was no room for it.
    pub(super) fn write(&self, exchange: &Exchange, facts: &Facts, end: &'static str, seconds: f64) -> bool {
        let config = &exchange.snapshot.config;
        let line = serde_json::json!({
            "method": facts.method.as_str(),
            "path": facts.uri.path(),
            "version": format!("{:?}", facts.version),
            "host": facts.authority.as_ref().and_then(|host| host.to_str().ok()),
            "client": exchange.connection.peer.ip().to_string(),
            "service": facts.service.map(|service| &*config.service(service).name),
            "backend": facts.served_by.map(|backend| &*config.backend(backend).name),
            "track": facts.decision.map(|decision| decision.track.as_str()),
            "decision": facts.decision.map(|decision| decision.reason.as_str()),
            "status": facts.status.map(|status| status.as_u16()),
            "answer": facts.route.and_then(|route| config.routes.answer(route)).map(LocalAnswer::as_str),
            "error": facts.error.map(crate::error::ProxyError::code),
            "end": end,
            "attempts": facts.sent.len(),
            "seconds": seconds,
            "trace_id": format!("{:032x}", facts.trace.id.get()),
            "span_id": format!("{:016x}", facts.trace.span.get()),
        });
        self.lines.try_send(line.to_string()).is_ok()
    }
}
