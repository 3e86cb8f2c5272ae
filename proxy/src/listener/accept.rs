//! The accept loop of one worker on one listener.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use super::bind::refuse_new;
use super::handshake::handshake;
use super::{ConnectionPermit, Connections, ListenerRef, proxy_header};
use crate::body::ResponseBody;
use crate::connection::{self, Inbound};
use crate::respond::Unanswerable;
use crate::socket::Socket;
use crate::worker::Worker;

/// For so long a listener that closes still takes connections whose handshake had begun: a round trip or two.
const HANDSHAKES: Duration = Duration::from_millis(300);

/// When the process is out of descriptors or memory, accepting again at once would only burn the core.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts until `stop` is ready, then has no new connections begin, takes those that have begun, and closes the
/// socket.
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
    let admit = |mut stream: TcpStream, peer: SocketAddr| {
        let limit = listener.with(|listener| listener.limits.connections);
        let Some(permit) = connections.enter(limit) else {
            worker.telemetry.connection_refused();
            return;
        };
        // Answers are written whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let open = Open::new(&worker, permit);
        let (worker, listener, stack) = (Rc::clone(&worker), listener.clone(), stack.clone());
        tokio::task::spawn_local(async move {
            // Dropped however the task ends, a panic included.
            let _open = open;
            let peer = match listener.with(|listener| listener.proxy_protocol.is_some()) {
                false => Some(peer),
                // Boxed: not every connection carries it along.
                true => Box::pin(proxy_header::client(&worker, &listener, &mut stream, peer)).await,
            };
            let Some(peer) = peer else { return };
            let socket = match listener.with(|listener| listener.tls.clone()) {
                None => Some(Socket::from(stream)),
                Some(tls) => Box::pin(handshake(&worker, &listener, stream, &tls)).await.map(Socket::from),
            };
            let Some(socket) = socket else { return };
            connection::serve(worker, listener, socket, peer, stack).await;
        });
    };
    let mut stop = std::pin::pin!(stop);
    let mut failing = false;
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("connections are accepted again");
                    }
                    admit(stream, peer);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    worker.telemetry.accept_failed();
                    // Told once, not ten times a second.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            },
            () = &mut stop => break,
        }
    }
    if let Err(error) = refuse_new(&socket) {
        tracing::warn!(%error, "a connection that begins while the listener closes may be reset");
    }
    let closed = tokio::time::sleep(HANDSHAKES);
    let mut closed = std::pin::pin!(closed);
    loop {
        tokio::select! {
            accepted = socket.accept() => if let Ok((stream, peer)) = accepted { admit(stream, peer) },
            () = &mut closed => break,
        }
    }
}

/// An open connection's place in what a drain waits for and in the listener's limit.
struct Open {
    worker: Rc<Worker>,
    _permit: ConnectionPermit,
}

impl Open {
    fn new(worker: &Rc<Worker>, permit: ConnectionPermit) -> Self {
        worker.connection_opened();
        Self { worker: Rc::clone(worker), _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.connection_closed();
    }
}

/// Errors of a connection that died in the queue, as opposed to ours.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
