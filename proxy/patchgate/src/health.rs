//! The health listener: `/livez`, `/readyz`, `/startupz`, `/metrics`. No secrets, no writes.
//!
//! The three probes answer three questions: is the process alive, may it get traffic, has it started. A gateway that
//! drains is alive and not ready. Whoever holds connections without asking anything loses them; the process's thread
//! and files are for others, too.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use patchgate_admin::api::serve;
use patchgate_proxy::telemetry::metrics::{CONTENT_TYPE, Metrics};
use tokio::net::TcpListener;

/// Most connections at a time; probes and scrapers need few.
const MAX_CONNECTIONS: usize = 64;

/// How far the process is.
#[derive(Debug, Default)]
pub(crate) struct Status(AtomicU8);

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

impl Status {
    /// Every listener is bound and served.
    pub(crate) fn serving(&self) {
        self.0.store(SERVING, Ordering::Release);
    }

    /// Traffic should go elsewhere from now on.
    pub(crate) fn draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Shared {
    status: Arc<Status>,
    metrics: Arc<Metrics>,
}

/// Binds the listener and serves it on the current runtime. Returns the address really bound.
///
/// # Errors
/// That of the operating system.
pub(crate) async fn serve(address: SocketAddr, status: Arc<Status>, metrics: Arc<Metrics>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/startupz", get(startupz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Shared { status, metrics });
    tokio::spawn(serve::serve(listener, router, MAX_CONNECTIONS));
    Ok(address)
}

async fn startupz(State(shared): State<Shared>) -> Response {
    answer(shared.status.get() != STARTING, "starting")
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match shared.status.get() {
        STARTING => answer(false, "starting"),
        DRAINING => answer(false, "draining"),
        _ => answer(true, ""),
    }
}

fn answer(fine: bool, why: &'static str) -> Response {
    match fine {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn scrape(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
