//! Small HTTP/1.1 servers beside the data plane: few connections, none of which may hold a place without asking.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A request's head has to be there within this; so long, too, a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an error of accept, which is mostly that there are no more files to be had.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves at most `connections` at a time, until the runtime ends. Without room one is closed at once: a client that is
/// refused tries again, one that waits does not.
pub async fn serve(listener: TcpListener, router: Router, connections: usize) {
    let room = Arc::new(Semaphore::new(connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        // Events are small, and wanted now.
        let _ = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            // Its errors are those of the client.
            let _ = connection.await;
            drop(place);
        });
    }
}
