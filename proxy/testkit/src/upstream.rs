//! Backends: one that answers as a closure says and counts what it saw, and one that speaks raw bytes.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// A request as a backend saw it, with its whole body.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Seen {
    /// All values of a field, joined as one list; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(",")
    }
}

/// A well-behaved HTTP/1.1 backend.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Upstream {
    /// A backend on a free port.
    #[must_use]
    pub fn start(answer: impl Fn(Seen) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// A backend at this very address, as when a killed one comes back.
    ///
    /// # Panics
    /// When it cannot listen there.
    #[must_use]
    pub fn start_at(address: SocketAddr, answer: impl Fn(Seen) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a test has threads");
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).expect("a backend's port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests = Arc::new(AtomicUsize::new(0));
        runtime.spawn(accept(listener, Arc::new(answer), Arc::clone(&requests)));
        Self { address, requests, runtime: Some(runtime) }
    }

    /// A backend that answers `name` and tells it in `x-backend`.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self::start(move |_| named_answer(name))
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Closes the port and resets every connection, as a killed process does.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        }
    }
}

/// What [`Upstream::named`] answers.
#[must_use]
pub fn named_answer(name: &'static str) -> Response<Bytes> {
    let answer = Response::builder().header("x-backend", name);
    answer.body(Bytes::from_static(name.as_bytes())).expect("a fixed answer is legal")
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}

async fn accept<A>(listener: tokio::net::TcpListener, answer: Arc<A>, requests: Arc<AtomicUsize>)
where
    A: Fn(Seen) -> Response<Bytes> + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                async move {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let (head, body) = request.into_parts();
                    // A client that breaks off its upload gets no answer it could read.
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let seen = Seen { method: head.method, uri: head.uri, headers: head.headers, body };
                    Ok::<_, Infallible>(answer(seen).map(Full::new))
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A backend that does with each connection what a closure says.
#[derive(Debug)]
pub struct RawUpstream {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RawUpstream {
    /// Starts it; `serve` gets each connection with its number, on a thread of its own.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(number, stream));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The accept loop looks at the flag when one more connection comes.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads one request's head off a raw connection; `None` once the peer closed.
pub fn read_head(stream: &mut impl std::io::Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
