//! The demo's clients, and what they saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::COOKIE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Error, GROUP, HOT_FIX, STABLE};
use crate::app::Gateway;

/// Connections that send at a time.
const CLIENTS: u32 = 8;

/// Between two looks at how far it is.
const FRAME: Duration = Duration::from_millis(100);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// To the mesh's listener, without a mark.
    Unmarked,
    /// To the mesh's listener, marked.
    Marked,
    /// To the edge, which gives a share of the users the patch.
    Assigned,
    /// Marked, while the hot-fix backend is dead.
    Fallback,
}

/// What came back.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) stable: u64,
    pub(super) hot_fix: u64,
    /// Answers other than 200.
    pub(super) failed: u64,
}

/// All traffic so far.
#[derive(Debug)]
pub(super) struct Traffic {
    edge: SocketAddr,
    mesh: SocketAddr,
    requests: u32,
    pub(super) tallies: BTreeMap<Kind, Tally>,
}

impl Kind {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Unmarked => "unmarked",
            Self::Marked => "marked",
            Self::Assigned => "at the edge (25 %)",
            Self::Fallback => "marked, hot-fix dead",
        }
    }
}

impl Traffic {
    pub(super) fn new(gateway: &Gateway, requests: u32) -> Result<Self, Error> {
        Ok(Self {
            edge: listener(gateway, "edge")?,
            mesh: listener(gateway, "mesh")?,
            requests,
            tallies: BTreeMap::new(),
        })
    }

    /// Sends one kind of requests; `progress` is told now and then how far it is.
    pub(super) async fn send(&mut self, kind: Kind, mut progress: impl FnMut(&Self)) -> Result<(), Error> {
        let (to, total) = match kind {
            Kind::Assigned => (self.edge, self.requests),
            Kind::Fallback => (self.mesh, self.requests / 10),
            Kind::Unmarked | Kind::Marked => (self.mesh, self.requests),
        };
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(send_all(kind, to, client, total, tell.clone()));
        }
        // The clients hold the other ends: the last one's end ends this.
        drop(tell);
        let mut shown = Instant::now();
        while let Some(answer) = told.recv().await {
            self.tallies.entry(kind).or_default().count(answer);
            if shown.elapsed() >= FRAME {
                progress(self);
                shown = Instant::now();
            }
        }
        while let Some(done) = clients.join_next().await {
            done?.map_err(|error| format!("{} requests: {error}", kind.title()))?;
        }
        progress(self);
        Ok(())
    }

    pub(super) fn sent(&self) -> u64 {
        self.tallies.values().map(|tally| tally.sent).sum()
    }
}

/// Where a listener of the gateway really listens.
pub(super) fn listener(gateway: &Gateway, name: &str) -> Result<SocketAddr, Error> {
    let listening = gateway.proxy.listening().iter().find(|listening| listening.listener.name == name);
    Ok(listening.ok_or_else(|| format!("the demo listens on {name}"))?.address)
}

/// A marked request, as a service in the mesh sends it: its trace is not sampled, and other vendors have a say.
pub(super) fn marked() -> Result<Request<Empty<Bytes>>, http::Error> {
    Request::get("/checkout/cart")
        .header("host", "shop.example.com")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
        .header("tracestate", format!("patch-group={GROUP},patch-version={HOT_FIX},vendor=1"))
        .body(Empty::new())
}

/// A connection to the gateway.
pub(super) async fn connect(to: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(to).await?)).await?;
    tokio::spawn(async move {
        // Its errors are those of the requests on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Status and version of one response.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    version: Option<String>,
}

async fn send_all(
    kind: Kind,
    to: SocketAddr,
    client: u32,
    total: u32,
    tell: mpsc::UnboundedSender<Answer>,
) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mut sender = connect(to).await.map_err(|error| said(&error))?;
    for number in (client..total).step_by(CLIENTS as usize) {
        let request = request(kind, number).map_err(|error| said(&error))?;
        let (head, body) = sender.send_request(request).await.map_err(|error| said(&error))?.into_parts();
        body.collect().await.map_err(|error| said(&error))?;
        let version = head.headers.get("x-version").and_then(|version| version.to_str().ok()).map(str::to_owned);
        // Nobody listens any more when the demo has failed elsewhere.
        let _ = tell.send(Answer { status: head.status, version });
        sender.ready().await.map_err(|error| said(&error))?;
    }
    Ok(())
}

fn request(kind: Kind, number: u32) -> Result<Request<Empty<Bytes>>, http::Error> {
    let plain = Request::get("/checkout/cart").header("host", "shop.example.com");
    match kind {
        Kind::Unmarked => plain.body(Empty::new()),
        Kind::Assigned => plain.header(COOKIE, format!("theme=dark; uid=user-{number}")).body(Empty::new()),
        Kind::Marked | Kind::Fallback => marked(),
    }
}

impl Tally {
    fn count(&mut self, answer: Answer) {
        self.sent += 1;
        if answer.status != StatusCode::OK {
            self.failed += 1;
        }
        match answer.version.as_deref() {
            Some(STABLE) => self.stable += 1,
            Some(HOT_FIX) => self.hot_fix += 1,
            _ => {}
        }
    }
}
