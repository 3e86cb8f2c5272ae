//! The control plane of this process: on a thread and runtime of its own, so that neither a slow disk nor a thousand
//! watchers take a request's time.
//!
//! ```text
//! log ─▶ state ─▶ table ──────────────▶ main: compile with the configuration, publish ─▶ workers
//!   ▲      │                              │
//!   │      └─▶ API, withdrawals ◀── Board ◀┘  what is in force, told by main
//!   └── orders: API, time, imports ◀── models
//! ```

mod board;
mod change;
mod explain;
mod imports;
mod instruments;
mod plane;
mod traffic;
mod withdrawals;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use patchgate_admin::api::{self, Auth};
use patchgate_admin::clock::Clock;
use patchgate_admin::controller::{self, Controller, Snapshots, World};
use patchgate_admin::log::Verifier;
use patchgate_admin::projection;
use patchgate_admin::store::EventStore;
use patchgate_admin::store::file::{FileError, FileStore, Options};
use patchgate_admin::tokens::TokensError;
use patchgate_config::model::{self, Admin, Model};
use patchgate_proxy::handle::Handle;
use patchgate_proxy::telemetry::metrics::Metrics;
use tokio::sync::{oneshot, watch};

pub(crate) use board::{Board, Logged};
use instruments::Instruments;
use plane::Plane;

/// Connections to the admin API besides those that follow.
const CONNECTIONS: usize = 512;

/// A running control plane, as the main thread holds it.
#[derive(Debug)]
pub(crate) struct Control {
    /// Where the API is served.
    pub(crate) address: SocketAddr,
    /// What the data plane is to serve, by the log.
    pub(crate) tables: watch::Receiver<Logged>,
    /// What the main thread tells.
    pub(crate) board: Arc<Board>,
    models: watch::Sender<Arc<Model>>,
    /// Told once the data plane serves.
    begin: Option<oneshot::Sender<(Handle, Arc<Metrics>)>>,
}

/// What the control plane wants of the data plane.
#[derive(Debug)]
pub(crate) enum Wish {
    /// The log says something else than before: serve that.
    Serve(Logged),
    /// Somebody asked for an end.
    Drain,
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("the admin API cannot listen on {address}: {source}; set admin.address to a free one")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Store(#[from] FileError),
    #[error(transparent)]
    Log(#[from] controller::StartError),
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error("the control plane's thread could not be started: {0}")]
    Thread(#[source] io::Error),
    #[error("the control plane ended while it started")]
    Ended,
}

/// What the thread is given.
#[derive(Debug)]
struct Start {
    admin: Admin,
    listener: TcpListener,
    address: SocketAddr,
    models: watch::Receiver<Arc<Model>>,
    board: Arc<Board>,
    begin: oneshot::Receiver<(Handle, Arc<Metrics>)>,
    /// Told once the log is folded and what the file declares is imported.
    opened: oneshot::Sender<Result<watch::Receiver<Logged>, ControlError>>,
}

impl Control {
    /// Opens the log, folds it, imports what `model` declares, and binds the API's address. The API is served once
    /// [`begin`](Self::begin) is called.
    ///
    /// # Errors
    /// Nothing is left running then.
    pub(crate) async fn open(admin: &Admin, model: &Arc<Model>, file: &str) -> Result<Self, ControlError> {
        let cannot = |source| ControlError::Listen { address: admin.address, source };
        let listener = TcpListener::bind(admin.address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let board = Arc::new(Board::new(file, model));
        let (models, followed) = watch::channel(Arc::clone(model));
        let (begin, begun) = oneshot::channel();
        let (opened, opening) = oneshot::channel();
        let start = Start {
            admin: admin.clone(),
            listener,
            address,
            models: followed,
            board: Arc::clone(&board),
            begin: begun,
            opened,
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ControlError::Thread)?;
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(run(start)))
            .map_err(ControlError::Thread)?;
        let tables = opening.await.unwrap_or(Err(ControlError::Ended))?;
        Ok(Self { address, tables, board, models, begin: Some(begin) })
    }

    /// Serves the API from now on: the data plane is there.
    pub(crate) fn begin(&mut self, handle: Handle, metrics: Arc<Metrics>) {
        if let Some(begin) = self.begin.take() {
            // The thread has ended: it has told why.
            let _ = begin.send((handle, metrics));
        }
    }

    /// What the control plane wants next of the data plane; nothing ever, if there is none (any more).
    pub(crate) async fn next(control: &mut Option<Self>) -> Wish {
        let Some(control) = control else { return std::future::pending().await };
        tokio::select! {
            changed = control.tables.changed() => match changed {
                Ok(()) => Wish::Serve(control.tables.borrow_and_update().clone()),
                Err(_) => std::future::pending().await,
            },
            () = control.board.drain.notified() => Wish::Drain,
        }
    }

    /// Another configuration is in force.
    pub(crate) fn configured(&self, model: &Arc<Model>) {
        self.board.configured(model);
        self.models.send_replace(Arc::clone(model));
    }
}

/// The thread.
async fn run(start: Start) {
    let Start { admin, listener, address, models, board, begin, opened } = start;
    let instruments = Arc::new(Instruments::default());
    let parts = match open(&admin, &models, &board, &instruments).await {
        Ok(parts) => parts,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let Opened { controller, store, feed, auth, tables } = parts;
    if opened.send(Ok(tables)).is_err() {
        return;
    }
    let Ok((handle, metrics)) = begin.await else { return };
    instruments.begin(Arc::clone(&metrics));
    let verifier = Arc::new(Verifier::new(Arc::clone(&store), controller.clone(), instruments.clone()));
    let traffic = Arc::new(traffic::Sampler::new(handle.clone()));
    let plane = Arc::new(Plane::new(handle.clone(), Arc::clone(&board), Arc::clone(&traffic)));
    let router = api::router(api::Parts {
        controller: controller.clone(),
        store,
        feed,
        plane,
        verifier: Arc::clone(&verifier),
        auth: Arc::clone(&auth),
        limits: admin.limits,
        observe: instruments.clone(),
    });
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, %address, "the admin API cannot be served"),
    };
    tokio::spawn(traffic.run());
    tokio::spawn(auth.follow(controller.clone()));
    tokio::spawn(verifier.repeat(admin.verify_every));
    tokio::spawn(imports::follow(controller.clone(), models));
    tokio::spawn(instruments::measure(controller.clone(), handle.clone(), Arc::clone(&board), Arc::clone(&metrics)));
    tokio::spawn(withdrawals::follow(controller.clone(), handle, board, Arc::clone(&metrics)));
    tokio::spawn(instruments::follow(controller, metrics));
    api::serve::serve(listener, router, CONNECTIONS + admin.limits.watchers as usize).await;
}

/// What there is once the log is open.
struct Opened {
    controller: Controller,
    store: Arc<dyn EventStore>,
    feed: Arc<controller::feed::Feed>,
    auth: Arc<Auth>,
    tables: watch::Receiver<Logged>,
}

async fn open(
    admin: &Admin,
    models: &watch::Receiver<Arc<Model>>,
    board: &Arc<Board>,
    instruments: &Arc<Instruments>,
) -> Result<Opened, ControlError> {
    let auth = Arc::new(match &admin.auth {
        model::Auth::None => Auth::open(),
        model::Auth::Tokens(path) => Auth::tokens(path.clone())?,
    });
    let model::Store::File(data) = &admin.store;
    let opened = FileStore::open(data, Options::default())?;
    if let Some(torn) = &opened.torn {
        tracing::warn!(
            file = %torn.file.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            kept = %torn.kept.as_deref().unwrap_or(Path::new("-")).display(),
            "the end of the event log was torn, and is cut; nothing acknowledged was in it"
        );
    }
    let store: Arc<dyn EventStore> = Arc::new(opened.store);
    let feed = Arc::default();
    let model = Arc::clone(&models.borrow());
    let (worlds, world) = watch::channel(Arc::new(World::of(&model, admin.require_reason)));
    let controller = Controller::start(controller::Parts {
        store: Arc::clone(&store),
        snapshots: Some(Snapshots::new(data.join("snapshots"))),
        observe: instruments.clone(),
        feed: Arc::clone(&feed),
        node: node(),
        clock: Clock::system(),
        world,
    })
    .await?;
    imports::import(&controller, &model).await;
    let (tell, tables) = watch::channel(logged(&controller.state()));
    tokio::spawn(project(controller.clone(), tell));
    tokio::spawn(worlds_of(models.clone(), worlds, admin.require_reason));
    tracing::info!(
        data = %data.display(),
        events = controller.state().sequence,
        rollouts = controller.state().live().count(),
        "the event log is open"
    );
    board.named(node());
    Ok(Opened { controller, store, feed, auth, tables })
}

/// Keeps the table that is to be served up with the log.
async fn project(controller: Controller, tell: watch::Sender<Logged>) {
    let mut states = controller.states();
    while states.changed().await.is_ok() {
        let state = Arc::clone(&states.borrow_and_update());
        tell.send_replace(logged(&state));
    }
}

fn logged(state: &patchgate_admin::rollout::State) -> Logged {
    Logged { sequence: state.sequence, table: projection::table(state) }
}

/// Keeps what decisions depend on up with the configuration.
async fn worlds_of(mut models: watch::Receiver<Arc<Model>>, worlds: watch::Sender<Arc<World>>, require_reason: bool) {
    while models.changed().await.is_ok() {
        let world = World::of(&models.borrow_and_update(), require_reason);
        worlds.send_replace(Arc::new(world));
    }
}

/// This process's name in the log and among gateways.
fn node() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "gateway".to_owned() } else { name.to_owned() }
}

/// How long a withdrawal is waited for at most.
const WITHDRAWAL: Duration = Duration::from_secs(600);
