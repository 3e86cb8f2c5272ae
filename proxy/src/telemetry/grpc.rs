//! OTLP over gRPC: the one unary call an exporter makes, on HTTP/2 with prior knowledge.
//!
//! The message is the same `ExportTraceServiceRequest` as over HTTP, behind the five bytes of a gRPC frame.

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, Request, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::pieces::Pieces;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Why a call brought no success.
#[derive(Debug)]
pub(super) enum GrpcError {
    /// No connection, or it broke.
    Unreachable(String),
    /// The collector's `grpc-status`, not 0.
    Status(String),
}

/// A connection to one collector.
pub(super) type GrpcSender = http2::SendRequest<Pieces>;

/// Connects to a collector.
pub(super) async fn connect(endpoint: &Uri) -> Result<GrpcSender, GrpcError> {
    let unreachable = |error: &dyn std::fmt::Display| GrpcError::Unreachable(error.to_string());
    let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = endpoint.port_u16().unwrap_or(4317);
    let stream = TcpStream::connect((host, port)).await.map_err(|error| unreachable(&error))?;
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    tokio::spawn(async move {
        // Its errors are those of the calls it carries.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends one `ExportTraceServiceRequest`.
pub(super) async fn export(sender: &mut GrpcSender, endpoint: &Uri, mut message: Pieces) -> Result<(), GrpcError> {
    let unreachable = |error: &dyn std::fmt::Display| GrpcError::Unreachable(error.to_string());
    let mut frame = BytesMut::with_capacity(5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).map_err(|error| unreachable(&error))?);
    message.push_front(frame.freeze());
    let authority = endpoint.authority().map(ToString::to_string).unwrap_or_default();
    let request = Request::post(format!("http://{authority}{EXPORT}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(message)
        .map_err(|error| unreachable(&error))?;
    let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
    // An error may come without a body, its status then stands in the head.
    if let Some(status) = status(response.headers()) {
        return ended(status);
    }
    let body = response.into_body().collect().await.map_err(|error| unreachable(&error))?;
    match body.trailers().and_then(status) {
        Some(status) => ended(status),
        None => Err(GrpcError::Status("missing".to_owned())),
    }
}

fn status(fields: &HeaderMap) -> Option<&str> {
    fields.get("grpc-status")?.to_str().ok()
}

fn ended(status: &str) -> Result<(), GrpcError> {
    if status == "0" { Ok(()) } else { Err(GrpcError::Status(status.to_owned())) }
}
