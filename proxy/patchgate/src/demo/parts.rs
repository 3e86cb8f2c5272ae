//! The demo's sample backends and collectors: small HTTP servers on free ports of loopback.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// A backend that answers with its version and the header fields it got.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    server: AbortHandle,
}

/// A collector that keeps the spans it gets.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Backend {
    pub(super) async fn start(version: &'static str) -> io::Result<Self> {
        Self::start_at(version, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(super) async fn start_at(version: &'static str, address: SocketAddr) -> io::Result<Self> {
        let (address, server) = serve(address, move |fields, _| {
            let fields: serde_json::Map<String, serde_json::Value> = fields
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
                .collect();
            let body = format!("{:#}\n", serde_json::json!({ "served_by": version, "got": fields }));
            Response::builder()
                .header("x-version", version)
                .header("content-type", "application/json")
                .body(body.into())
        })
        .await?;
        Ok(Self { address, server })
    }

    /// Ends it as a crash does: its port is closed, its connections are reset.
    pub(super) fn kill(self) {
        self.server.abort();
    }
}

impl Collector {
    pub(super) async fn start() -> io::Result<Self> {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        let (address, _) = serve(SocketAddr::from(([127, 0, 0, 1], 0)), move |_, body| {
            let decoded = ExportTraceServiceRequest::decode(body);
            let status = if decoded.is_ok() { 200 } else { 400 };
            let new = decoded.unwrap_or_default().resource_spans.into_iter();
            let new = new.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
            Response::builder().status(status).body(Bytes::new())
        })
        .await?;
        Ok(Self { address, spans })
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves HTTP/1.1 until aborted.
async fn serve<A>(address: SocketAddr, answer: A) -> io::Result<(SocketAddr, AbortHandle)>
where
    A: Fn(&HeaderMap, Bytes) -> Result<Response<Bytes>, http::Error> + Send + Sync + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    let server = tokio::spawn(async move {
        // Dropped with this task, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let response = answer(&head.headers, body).unwrap_or_default();
                    Ok::<_, Infallible>(response.map(Full::new))
                }
            });
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok((address, server.abort_handle()))
}
