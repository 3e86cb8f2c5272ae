//! The only part that speaks HTTP: requests out, answers in, again if an answer was lost.
//!
//! It follows no redirect and asks no proxy: a token goes to the server that was named, and nowhere else.

use std::io::{BufReader, ErrorKind};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, RETRY_AFTER};
use http::{HeaderName, Method, Request, StatusCode};
use patchgate_admin::api::dto::Problem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use ureq::{Agent, Body, BodyReader, Timeout};

use super::Failure;
use super::retry::{Tries, pause};
use super::server::{Identity, Server};
use super::sse::Messages;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACTOR: HeaderName = HeaderName::from_static("x-patchgate-actor");

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// Most bytes of an answer. A full page of rollouts with long definitions is far below.
const MAX_ANSWER: u64 = 64 << 20;

/// A stream without even a heartbeat for this long is dead: two of the server's heartbeats, and some.
const SILENCE: Duration = Duration::from_secs(40);

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// What stands for something else in a URL, or might.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Asks one admin API.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) server: Server,
    agent: Agent,
}

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    /// Path and query.
    target: String,
    body: Option<String>,
    if_match: Option<u64>,
    key: Option<String>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    kind: String,
    retry_after: Option<Duration>,
    body: String,
}

/// What a server tells as it happens.
pub(crate) type Stream = Messages<BufReader<BodyReader<'static>>>;

/// How one try ended.
enum Try {
    Answered(Answer),
    /// It never arrived.
    Unsent(String),
    /// It may have arrived; what became of it is not known.
    Lost(String),
}

impl Call {
    /// Asks for something.
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self { method: Method::GET, target: target.into(), body: None, if_match: None, key: None }
    }

    /// Sends `body`, a JSON text.
    pub(crate) fn send(method: Method, target: impl Into<String>, body: String) -> Self {
        Self { method, target: target.into(), body: Some(body), if_match: None, key: None }
    }

    /// Only if the rollout is at this version.
    pub(crate) fn if_version(mut self, version: Option<u64>) -> Self {
        self.if_match = version;
        self
    }

    /// Names the order, so that it is carried out once however often it is sent.
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }
}

impl Client {
    pub(crate) fn new(server: Server) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("patchgate/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT.min(server.timeout)))
            .build();
        Self { server, agent: config.new_agent() }
    }

    /// What is at `target`.
    pub(crate) fn get<T: DeserializeOwned>(&self, target: impl Into<String>) -> Result<T, Failure> {
        self.json(&Call::get(target))
    }

    /// The answer to `call`, as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        let text = self.text(call)?;
        serde_json::from_str(&text).map_err(|error| self.misunderstood(&call.target, &error))
    }

    /// The answer to `call`, as text, once it succeeded.
    pub(crate) fn text(&self, call: &Call) -> Result<String, Failure> {
        let deadline = Instant::now() + self.server.timeout;
        let (mut tries, mut maybe_done) = (Tries::new(), false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (failure, asked, again) = match self.attempt(call, left) {
                Try::Answered(answer) if answer.status.is_success() => return Ok(answer.body),
                Try::Answered(answer) => {
                    let asked = answer.retry_after;
                    let failure = self.refused(&answer);
                    maybe_done |= is_unconfirmed(&failure);
                    (failure, asked, asked.is_some())
                }
                // A server that broke off may be about to come back; one that was never there is not waited for.
                Try::Unsent(why) => (self.unreachable(why), None, maybe_done),
                Try::Lost(why) => {
                    maybe_done = true;
                    (Failure::Lost { url: self.server.url.clone(), why }, None, true)
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match tries.next(asked, left).filter(|_| again) {
                Some(wait) => pause(wait),
                None if maybe_done && call.key.is_some() && failure.may_pass() => {
                    return Err(not_confirmed(call, &failure));
                }
                None => return Err(failure),
            }
        }
    }

    /// Follows what is at `target`, after the event `last`.
    pub(crate) fn follow(&self, target: &str, last: Option<&str>) -> Result<Stream, Failure> {
        let mut request = self.request(&Call::get(target), EVENT_STREAM);
        if let Some(last) = last.and_then(|last| last.parse().ok()) {
            request.headers_mut().insert(LAST_EVENT_ID, last);
        }
        let request = self.agent.configure_request(request);
        // The answer must begin in time; what follows takes as long as it takes.
        let request = request.timeout_recv_response(Some(self.server.timeout)).timeout_per_read(Some(SILENCE)).build();
        let response = match self.agent.run(request) {
            Ok(response) => response,
            Err(error) => {
                return Err(match classify(error) {
                    Try::Lost(why) => Failure::Lost { url: self.server.url.clone(), why },
                    Try::Unsent(why) => self.unreachable(why),
                    Try::Answered(answer) => self.refused(&answer),
                });
            }
        };
        if !response.status().is_success() {
            return Err(match read(response) {
                Try::Answered(answer) => self.refused(&answer),
                Try::Lost(why) | Try::Unsent(why) => Failure::Lost { url: self.server.url.clone(), why },
            });
        }
        let kind = content_type(&response);
        if kind != EVENT_STREAM {
            return Err(self.not_the_api(format!("{target} is {kind}, not a stream of events")));
        }
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Messages::new(BufReader::new(reader)))
    }

    /// Whether nobody listens there any more.
    pub(crate) fn is_gone(&self) -> bool {
        let left = self.server.timeout.min(CONNECT);
        matches!(self.attempt(&Call::get("/v1/whoami"), left), Try::Unsent(_))
    }

    fn attempt(&self, call: &Call, left: Duration) -> Try {
        let request = self.request(call, JSON).map(|()| call.body.clone().unwrap_or_default());
        let ended = if call.body.is_some() {
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(left)).build())
        } else {
            let request = request.map(|_| ());
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(left)).build())
        };
        ended.map_or_else(classify, read)
    }

    fn request(&self, call: &Call, accept: &'static str) -> Request<()> {
        let url = format!("{}{}", self.server.url, call.target);
        let mut request = Request::builder().method(call.method.clone()).uri(url).header(ACCEPT, accept);
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        if let Some(version) = call.if_match {
            request = request.header(IF_MATCH, format!("\"{version}\""));
        }
        if let Some(key) = &call.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        request = match &self.server.identity {
            Identity::Token(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            Identity::Name(name) => request.header(ACTOR, name),
            Identity::Unknown => request,
        };
        request.body(()).expect("targets are percent-encoded, and texts in headers were checked when they came")
    }

    fn refused(&self, answer: &Answer) -> Failure {
        match serde_json::from_str::<Problem>(&answer.body) {
            Ok(problem) if answer.kind == "application/problem+json" => Failure::Refused(Box::new(problem)),
            _ => self.not_the_api(format!("status {}", answer.status)),
        }
    }

    fn unreachable(&self, why: String) -> Failure {
        Failure::Unreachable { url: self.server.url.clone(), origin: self.server.origin.to_string(), why }
    }

    /// An answer that this version cannot read.
    pub(crate) fn misunderstood(&self, target: &str, error: &serde_json::Error) -> Failure {
        self.not_the_api(format!("{target}: {error}"))
    }

    fn not_the_api(&self, what: String) -> Failure {
        Failure::NotTheApi { url: self.server.url.clone(), what }
    }
}

/// Whether what was refused may have been done all the same: the log did not say, or the answer took too long.
fn is_unconfirmed(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(problem) if problem.status == 503 && problem.code != "log_unwritable")
}

fn not_confirmed(call: &Call, failure: &Failure) -> Failure {
    let key = call.key.as_deref().unwrap_or_default();
    let version = call.if_match.map(|version| format!(" --if-version {version}")).unwrap_or_default();
    let again = format!("the same command with{version} --idempotency-key {key} finds out, and does it once in all");
    let why = match failure {
        Failure::Lost { why, .. } | Failure::Unreachable { why, .. } => format!("the answer was lost ({why})"),
        failure => failure.to_string(),
    };
    Failure::NotConfirmed { why, again }
}

fn read(mut response: http::Response<Body>) -> Try {
    let (status, kind) = (response.status(), content_type(&response));
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
    match response.body_mut().with_config().limit(MAX_ANSWER).read_to_string() {
        Ok(body) => Try::Answered(Answer { status, kind, retry_after: retry_after.map(Duration::from_secs), body }),
        Err(error) => Try::Lost(error.to_string()),
    }
}

fn content_type(response: &http::Response<Body>) -> String {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a request that failed may have arrived.
fn classify(error: ureq::Error) -> Try {
    match &error {
        ureq::Error::HostNotFound => Try::Unsent("there is no such host".to_owned()),
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => Try::Unsent("no connection in time".to_owned()),
        ureq::Error::ConnectionFailed | ureq::Error::TlsRequired | ureq::Error::BadUri(_) => {
            Try::Unsent(error.to_string())
        }
        ureq::Error::Io(io) => match io.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable => Try::Unsent(plain(io)),
            _ => Try::Lost(plain(io)),
        },
        ureq::Error::Timeout(_) => Try::Lost("no answer in time".to_owned()),
        _ => Try::Lost(error.to_string()),
    }
}

/// Without the number that nobody reads.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// `text` as one segment of a path, or as a query's value.
pub(crate) fn encode(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}
