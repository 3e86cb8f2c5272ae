//! A channel's exporter: its own thread and runtime, one request to the collector at a time.
//!
//! Nothing here can slow a worker. What the collector does not take is retried within bounds, then counted as failed;
//! a collector that is away is told of in one line, and in another when it is back.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use patchgate_config::snapshot::{Otlp, OtlpProtocol};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::channel::{ChannelCounts, Receiver};
use super::otlp;
use super::pieces::Pieces;

/// Spans in one export, unless a chunk alone has more.
const BATCH_SPANS: usize = 2048;

/// A collector's answer is a few bytes; of a longer one nobody wants the rest.
const MAX_ANSWER: usize = 64 * 1024;

/// Tries of one batch.
const TRIES: u32 = 3;

/// Before the second try; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause a collector's `Retry-After` is given.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where a channel's spans go; changes with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The collector.
    pub otlp: Otlp,
    /// `service.name`.
    pub service_name: String,
}

/// A running exporter.
#[derive(Debug)]
pub(super) struct Exporter {
    target: Arc<Mutex<Option<Target>>>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts one.
    ///
    /// # Errors
    /// That of the operating system, if a thread or a runtime cannot be made.
    pub(super) fn start(name: &'static str, receiver: Receiver, counts: Arc<ChannelCounts>) -> std::io::Result<Self> {
        let target = Arc::new(Mutex::new(None));
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let shared = Arc::clone(&target);
        let thread = std::thread::Builder::new().name(format!("export-{name}")).spawn(move || {
            let run = Run {
                name,
                receiver,
                counts,
                target: shared,
                connection: None,
                #[cfg(feature = "otlp-grpc")]
                grpc: None,
                away: false,
            };
            runtime.block_on(run.run());
            // Nobody waits when the process ends without a flush.
            let _ = end.send(());
        })?;
        Ok(Self { target, ended, thread })
    }

    /// Sets where spans go from now on.
    pub(super) fn aim(&self, target: Option<Target>) {
        *self.target.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = target;
    }

    /// Waits until all that was accepted is shipped or counted, at most for `deadline`. The senders must be gone.
    pub(super) async fn flush(self, deadline: Duration) -> bool {
        let in_time = tokio::time::timeout(deadline, self.ended).await.is_ok();
        if in_time {
            let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
        }
        in_time
    }
}

struct Run {
    name: &'static str,
    receiver: Receiver,
    counts: Arc<ChannelCounts>,
    target: Arc<Mutex<Option<Target>>>,
    connection: Option<(Uri, SendRequest<Pieces>)>,
    #[cfg(feature = "otlp-grpc")]
    grpc: Option<(Uri, super::grpc::GrpcSender)>,
    away: bool,
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{0}")]
    Unreachable(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("it answered {0}")]
    Retryable(StatusCode, Option<Duration>),
    #[error("it refused the spans with {0}")]
    Refused(StatusCode),
    #[cfg(feature = "otlp-grpc")]
    #[error("it refused the spans with grpc-status {0}")]
    GrpcStatus(String),
}

impl Run {
    async fn run(mut self) {
        while let Some(first) = self.receiver.next().await {
            let (mut batch, mut spans) = (Pieces::default(), first.spans);
            batch.push(first.bytes);
            while spans < BATCH_SPANS
                && let Some(more) = self.receiver.try_next()
            {
                spans += more.spans;
                batch.push(more.bytes);
            }
            if self.export(batch).await {
                self.counts.exported(spans);
            } else {
                self.counts.failed(spans);
            }
        }
    }

    async fn export(&mut self, mut body: Pieces) -> bool {
        let target = self.target.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let Some(target) = target else { return false };
        body.push_front(Bytes::from(otlp::request_head(&target.service_name, body.len())));
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let tried = tokio::time::timeout(target.otlp.timeout, self.post(&target.otlp, body.clone())).await;
            let error = match tried.unwrap_or(Err(ExportError::TimedOut)) {
                Ok(()) => {
                    self.is_back(&target.otlp);
                    return true;
                }
                Err(error) => error,
            };
            self.disconnect();
            self.is_away(&target.otlp, &error);
            let wait = match error {
                ExportError::Retryable(_, after) => after.unwrap_or(pause).min(LONGEST_PAUSE),
                ExportError::Unreachable(_) | ExportError::TimedOut => pause,
                _ => return false,
            };
            if attempt < TRIES {
                tokio::time::sleep(wait).await;
                pause *= 2;
            }
        }
        false
    }

    async fn post(&mut self, otlp: &Otlp, body: Pieces) -> Result<(), ExportError> {
        match otlp.protocol {
            OtlpProtocol::Http => self.post_http(otlp, body).await,
            #[cfg(feature = "otlp-grpc")]
            OtlpProtocol::Grpc => self.post_grpc(otlp, body).await,
            #[cfg(not(feature = "otlp-grpc"))]
            OtlpProtocol::Grpc => {
                let _ = body;
                Err(ExportError::Unreachable("this build has no gRPC: build with feature otlp-grpc".to_owned()))
            }
        }
    }

    #[cfg(feature = "otlp-grpc")]
    async fn post_grpc(&mut self, otlp: &Otlp, body: Pieces) -> Result<(), ExportError> {
        use super::grpc::{self, GrpcError};
        let told = |error| match error {
            GrpcError::Status(status) => ExportError::GrpcStatus(status),
            GrpcError::Unreachable(why) => ExportError::Unreachable(why),
        };
        if !self.grpc.as_ref().is_some_and(|(to, sender)| *to == otlp.endpoint && !sender.is_closed()) {
            self.grpc = Some((otlp.endpoint.clone(), grpc::connect(&otlp.endpoint).await.map_err(told)?));
        }
        match &mut self.grpc {
            Some((_, sender)) => grpc::export(sender, &otlp.endpoint, body).await.map_err(told),
            None => Err(ExportError::TimedOut),
        }
    }

    /// Lets go of a connection that failed.
    fn disconnect(&mut self) {
        self.connection = None;
        #[cfg(feature = "otlp-grpc")]
        {
            self.grpc = None;
        }
    }

    async fn post_http(&mut self, otlp: &Otlp, body: Pieces) -> Result<(), ExportError> {
        let authority = otlp.endpoint.authority().map(ToString::to_string).unwrap_or_default();
        let base = otlp.endpoint.path().trim_end_matches('/');
        let request = Request::post(format!("{base}/v1/traces"))
            .header(http::header::HOST, authority)
            .header(http::header::CONTENT_TYPE, "application/x-protobuf")
            .body(body)
            .map_err(|error| ExportError::Unreachable(error.to_string()))?;
        let response = match self.connection(&otlp.endpoint).await?.send_request(request).await {
            Ok(response) => response,
            Err(error) => return Err(ExportError::Unreachable(error.to_string())),
        };
        let status = response.status();
        let after = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        // Read to its end, so that the connection can be used again, unless it has none.
        if Limited::new(response.into_body(), MAX_ANSWER).collect().await.is_err() {
            self.connection = None;
        }
        match status.as_u16() {
            200..=299 => Ok(()),
            429 | 502 | 503 | 504 => Err(ExportError::Retryable(status, after)),
            _ => Err(ExportError::Refused(status)),
        }
    }

    async fn connection(&mut self, endpoint: &Uri) -> Result<&mut SendRequest<Pieces>, ExportError> {
        let usable = match &mut self.connection {
            Some((to, sender)) => to == endpoint && sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
            let stream = TcpStream::connect((host, endpoint.port_u16().unwrap_or(4318)))
                .await
                .map_err(|error| ExportError::Unreachable(error.to_string()))?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| ExportError::Unreachable(error.to_string()))?;
            tokio::spawn(async move {
                // Its errors are those of the request it carries.
                let _ = connection.await;
            });
            self.connection = Some((endpoint.clone(), sender));
        }
        match &mut self.connection {
            Some((_, sender)) => Ok(sender),
            None => Err(ExportError::TimedOut),
        }
    }

    fn is_away(&mut self, otlp: &Otlp, error: &ExportError) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(
                channel = self.name,
                endpoint = %otlp.endpoint,
                %error,
                "the collector does not take spans; they are retried, then dropped and counted"
            );
        }
    }

    fn is_back(&mut self, otlp: &Otlp) {
        if std::mem::replace(&mut self.away, false) {
            tracing::info!(channel = self.name, endpoint = %otlp.endpoint, "the collector takes spans again");
        }
    }
}
