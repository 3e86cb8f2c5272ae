//! Logs and the control plane's own spans: `tracing` to standard error and, where a collector is configured, by
//! OTLP. The request path has its own, cheaper way (`patchgate_proxy::telemetry`) and never comes here.

use std::io::IsTerminal;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use patchgate_config::snapshot::{Otlp, OtlpProtocol, Telemetry};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::cli::LogFormat;
use crate::logs::Lines;

/// Bound on one export and on the last flush.
const TIMEOUT: Duration = Duration::from_secs(3);

/// At the end, the last lines may take this long to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Most bytes of a collector's answer; a good one is nearly empty.
const MAX_ANSWER: usize = 64 * 1024;

/// What has to be flushed at the end: spans by [`Logs::shutdown`], lines when it is dropped.
#[derive(Debug)]
pub(crate) struct Logs {
    provider: Option<SdkTracerProvider>,
    lines: Lines,
}

/// Starts logging. Call it once, on the control plane's runtime.
///
/// # Errors
/// When a subscriber is there already, or the exporter or the thread that writes cannot be had.
pub(crate) fn init(format: LogFormat, telemetry: &Telemetry) -> Result<Logs, Box<dyn std::error::Error>> {
    let provider = match &telemetry.otlp {
        Some(otlp) if otlp.protocol == OtlpProtocol::Http => Some(provider(otlp, &telemetry.service_name)?),
        _ => None,
    };
    // Of our own spans only: the SDK's and hyper's would be about the export itself.
    let ours = || Targets::new().with_target("patchgate", LevelFilter::INFO);
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("patchgate.control")).with_filter(ours())
    });
    let chosen = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let lines = Lines::to(std::io::stderr(), tell_dropped)?;
    let layer = fmt::layer().with_writer(lines.clone()).with_ansi(std::io::stderr().is_terminal());
    let layer = match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(spans).with(layer.with_filter(chosen)).try_init()?;
    Ok(Logs { provider, lines })
}

fn tell_dropped(lines: u64) {
    tracing::warn!("{lines} log lines were dropped: standard error was not read");
}

impl Logs {
    /// Ships the last spans.
    pub(crate) async fn shutdown(mut self) {
        if let Some(provider) = self.provider.take() {
            // It blocks its thread until the exporter, which needs this runtime, has answered.
            let _ = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TIMEOUT)).await;
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.lines.flush(LAST_LINES);
    }
}

fn provider(otlp: &Otlp, service_name: &str) -> Result<SdkTracerProvider, Box<dyn std::error::Error>> {
    let base = otlp.endpoint.to_string();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(ControlClient { runtime: Handle::current() })
        .with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service_name.to_owned()).build())
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build())
}

/// An HTTP client that works on the control plane's runtime, whatever thread asks: the SDK's batch thread has none.
#[derive(Debug)]
struct ControlClient {
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for ControlClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The timer, too, has to be made on the runtime.
        self.runtime.spawn(async { tokio::time::timeout(TIMEOUT, send(request)).await }).await??
    }
}

/// One request on a connection of its own: the control plane's spans are few.
async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let host = head.uri.host().ok_or("the collector's URL has no host")?.trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host, head.uri.port_u16().unwrap_or(4318))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Its errors are those of the request.
        let _ = connection.await;
    });
    if let Some(authority) = head.uri.authority() {
        head.headers.insert(http::header::HOST, authority.as_str().parse()?);
    }
    head.uri = head.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    let (head, body) = sender.send_request(Request::from_parts(head, Full::new(body))).await?.into_parts();
    Ok(Response::from_parts(head, Limited::new(body, MAX_ANSWER).collect().await?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Sends a request to a collector whose answer has `length` bytes.
    async fn answer(length: usize) -> Result<Response<Bytes>, HttpError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let request = Request::post(format!("http://{}/v1/traces", listener.local_addr()?)).body(Bytes::new())?;
        let collector = async {
            let (mut stream, _) = listener.accept().await?;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            // It fails when the client has had enough.
            let _ = stream.write_all(&vec![b'x'; length]).await;
            Ok::<_, HttpError>(stream)
        };
        let (answer, stream) = tokio::join!(send(request), collector);
        stream?;
        answer
    }

    #[tokio::test]
    async fn a_collectors_answer_is_read_up_to_a_bound() {
        assert_eq!(answer(MAX_ANSWER).await.unwrap().body().len(), MAX_ANSWER);
        assert!(answer(MAX_ANSWER + 1).await.is_err());
    }
}
