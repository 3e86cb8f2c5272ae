//! HTTP/2 from both sides, by a real library: a backend whose streams a closure serves, and a client that sees what
//! became of each stream.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Nothing takes longer, or the test fails.
const LIMIT: Duration = Duration::from_secs(30);

/// A backend that does with each stream what a closure says.
#[derive(Debug)]
pub struct Http2Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

/// A message that came whole.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    /// The body.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Option<HeaderMap>,
}

impl Http2Upstream {
    /// Starts it; `serve` gets each stream. At most `most` of them are open on a connection.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start<F>(
        most: u32,
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (connections, streams) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        runtime.spawn(accept(listener, most, Arc::new(serve), Arc::clone(&connections), Arc::clone(&streams)));
        Self { address, connections, streams, runtime: Some(runtime) }
    }

    /// A backend that answers each request, once its body came whole, as `answer` says.
    #[must_use]
    pub fn answering(answer: impl Fn(&Request<()>, &Whole) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::start(100, move |request, mut respond| {
            let answer = Arc::clone(&answer);
            async move {
                let (head, body) = request.into_parts();
                let Ok(whole) = whole(body).await else { return };
                let (head, body) = answer(&Request::from_parts(head, ()), &whole).into_parts();
                let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), body.is_empty()) else {
                    return;
                };
                if !body.is_empty() {
                    let _ = stream.send_data(body, true);
                }
            }
        })
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Streams so far.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

async fn accept<S, F>(
    listener: TcpListener,
    most: u32,
    serve: Arc<S>,
    connections: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
) where
    S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let (serve, streams) = (Arc::clone(&serve), Arc::clone(&streams));
        open.spawn(async move {
            let handshake = h2::server::Builder::new().max_concurrent_streams(most).handshake(stream);
            let Ok(mut connection) = handshake.await else { return };
            let mut serving = JoinSet::new();
            while let Some(Ok((request, respond))) = connection.accept().await {
                streams.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(request, respond));
            }
        });
    }
}

/// Reads a body to its end.
///
/// # Errors
/// How its stream broke off.
pub async fn whole(mut body: RecvStream) -> Result<Whole, h2::Error> {
    let mut whole = Whole::default();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        whole.body.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    whole.trailers = body.trailers().await?;
    Ok(whole)
}

/// One connection of a client.
#[derive(Debug)]
pub struct Http2Client {
    requests: SendRequest<Bytes>,
    runtime: Runtime,
}

impl Http2Client {
    /// Connects with prior knowledge.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        let runtime = runtime();
        let requests = runtime.block_on(async {
            let stream = TcpStream::connect(to).await.expect("somebody listens");
            let (requests, connection) = h2::client::handshake(stream).await.expect("a preface can be sent");
            tokio::spawn(connection);
            requests
        });
        Self { requests, runtime }
    }

    /// Opens a stream; `whole`: the request has no body.
    ///
    /// # Panics
    /// When the connection is over.
    pub fn open(&mut self, request: Request<()>, whole: bool) -> (ResponseFuture, SendStream<Bytes>) {
        self.requests.send_request(request, whole).expect("the connection is open")
    }

    /// Sends a request with a body and trailers, and reads the answer to its end.
    ///
    /// # Errors
    /// How the stream broke off.
    pub fn call(
        &mut self,
        request: Request<Bytes>,
        trailers: Option<HeaderMap>,
    ) -> Result<(Response<()>, Whole), h2::Error> {
        let (head, body) = request.into_parts();
        let (response, mut sending) =
            self.requests.send_request(Request::from_parts(head, ()), body.is_empty() && trailers.is_none())?;
        if !body.is_empty() {
            sending.send_data(body, trailers.is_none())?;
        }
        if let Some(trailers) = trailers {
            sending.send_trailers(trailers)?;
        }
        self.answer(response)
    }

    /// Reads an answer to its end.
    ///
    /// # Errors
    /// How the stream broke off.
    pub fn answer(&self, response: ResponseFuture) -> Result<(Response<()>, Whole), h2::Error> {
        self.wait(async {
            let (head, body) = response.await?.into_parts();
            Ok((Response::from_parts(head, ()), whole(body).await?))
        })
    }

    /// Runs a future of one of its streams.
    ///
    /// # Panics
    /// When it takes very long.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.expect("it ends in time") })
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a test has threads")
}
