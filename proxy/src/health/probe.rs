//! One check of one endpoint, on a connection of its own.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use patchgate_config::balance::{CheckKind, HttpCheck};
use patchgate_config::snapshot::ProxyVersion;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;

use super::Target;
use crate::socket::Socket;
use crate::worker::LocalExecutor;

/// For nobody: the connection is the gateway's own.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

const AGENT: HeaderValue = HeaderValue::from_static("patchgate-health-check");

/// Bytes of a gRPC answer that are looked at; one that is right has seven.
const MAX_ANSWER: usize = 64;

/// `SERVING` of `grpc.health.v1.HealthCheckResponse`, behind the five bytes that frame it.
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

/// Asks an endpoint once.
///
/// # Errors
/// Why it is not well, in words.
pub(super) async fn probe(target: &Target) -> Result<(), String> {
    let socket = connect(target).await?;
    match &target.check.kind {
        CheckKind::Tcp => Ok(()),
        CheckKind::Http(check) => http(target, check, socket).await,
        CheckKind::Grpc { service } => grpc(target, service, socket).await,
    }
}

async fn connect(target: &Target) -> Result<Socket, String> {
    let mut socket = Socket::connect(target.address).await.map_err(|error| format!("no connection: {error}"))?;
    let introduction = match target.proxy_protocol {
        None => &b""[..],
        Some(ProxyVersion::V1) => UNKNOWN,
        Some(ProxyVersion::V2) => LOCAL,
    };
    if !introduction.is_empty() {
        socket.write_all(introduction).await.map_err(|error| error.to_string())?;
    }
    let Some(tls) = &target.tls else { return Ok(socket) };
    let config = match target.check.kind {
        CheckKind::Grpc { .. } => tls.http2_config(),
        _ => tls.config(),
    };
    socket.secure(tls, config, target.address).await.map_err(|error| format!("no TLS: {error}"))
}

async fn http(target: &Target, check: &HttpCheck, socket: Socket) -> Result<(), String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(told)?;
    let connection = spawn_local(connection);
    let host = match &check.host {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(&target.address.to_string()).map_err(told)?,
    };
    let request = Request::get(&*check.path).header(HOST, host).header(USER_AGENT, AGENT).header(CONNECTION, "close");
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).map_err(told)?).await.map_err(told);
    connection.abort();
    let status = response?.status();
    match check.expects(status) {
        true => Ok(()),
        false => Err(format!("status {}", status.as_u16())),
    }
}

/// `grpc.health.v1.Health/Check` (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
async fn grpc(target: &Target, service: &str, socket: Socket) -> Result<(), String> {
    let (mut sender, connection) = http2::handshake(LocalExecutor, TokioIo::new(socket)).await.map_err(told)?;
    let connection = spawn_local(connection);
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://{}/grpc.health.v1.Health/Check", target.address))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, AGENT)
        .body(Full::new(question(service)))
        .map_err(told)?;
    let response = sender.send_request(request).await.map_err(told);
    let answer = serving(response?).await;
    connection.abort();
    answer
}

/// `HealthCheckRequest { service }`, framed.
fn question(service: &str) -> Bytes {
    // A name is at most as long as one byte of a varint can say.
    let mut message = Vec::new();
    if !service.is_empty() {
        message.extend([0x0a, service.len() as u8]);
        message.extend(service.as_bytes());
    }
    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
    frame.append(&mut message);
    frame.into()
}

async fn serving(response: Response<Incoming>) -> Result<(), String> {
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status().as_u16()));
    }
    refused(response.headers())?;
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(told)?;
    refused(body.trailers().unwrap_or(&HeaderMap::new()))?;
    match body.to_bytes() == SERVING {
        true => Ok(()),
        false => Err("it is not SERVING".to_owned()),
    }
}

/// An error of gRPC, if the fields tell one.
fn refused(fields: &HeaderMap) -> Result<(), String> {
    match fields.get("grpc-status").map(HeaderValue::as_bytes) {
        None | Some(b"0") => Ok(()),
        Some(status) => Err(format!("grpc-status {}", String::from_utf8_lossy(status))),
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
