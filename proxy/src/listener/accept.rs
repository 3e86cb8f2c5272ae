//! The accept loop of one worker on one listener.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use super::{Connections, ListenerRef};
use crate::body::ResponseBody;
use crate::connection::{self, Inbound};
use crate::respond::Unanswerable;
use crate::worker::Worker;

/// When the process is out of descriptors or memory, accepting again at once would only burn the core.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts until `stop` is ready, then takes what already queues and closes the socket.
pub(crate) async fn accept<S>(
    worker: Rc<Worker>,
    listener: ListenerRef,
    socket: TcpListener,
    connections: Connections,
    stop: impl Future<Output = ()>,
    stack: S,
) where
    S: Service<Inbound, Response = Response<ResponseBody>, Error = Unanswerable> + Clone + 'static,
    S::Future: 'static,
{
    let admit = |stream: TcpStream, peer: SocketAddr| {
        let limit = listener.with(|listener| listener.limits.connections);
        let Some(permit) = connections.enter(limit) else {
            worker.telemetry.connection_refused();
            return;
        };
        // Answers are written whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let (worker, listener, stack) = (Rc::clone(&worker), listener.clone(), stack.clone());
        tokio::task::spawn_local(async move {
            worker.connection_opened();
            connection::serve(Rc::clone(&worker), listener, stream, peer, stack).await;
            worker.connection_closed();
            drop(permit);
        });
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    worker.telemetry.accept_failed(&error);
                    tokio::time::sleep(BACK_OFF).await;
                }
            },
            () = &mut stop => break,
        }
    }
    // The kernel completed these handshakes already; closing the socket now would reset them.
    while let Some(Ok((stream, peer))) = std::future::poll_fn(|cx| match socket.poll_accept(cx) {
        std::task::Poll::Ready(accepted) => std::task::Poll::Ready(Some(accepted)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
    {
        admit(stream, peer);
    }
}

/// Errors of a connection that died in the queue, as opposed to ours.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
