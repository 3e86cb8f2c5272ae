//! What workers are told by the control plane, and the loop of a worker that follows it.
//!
//! A command is an order to a whole worker, never to a request; none is waited for on a request's way.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::listener::{BoundListener, accept, key};
use crate::stack::stack;
use crate::withdraw::Cut;
use crate::worker::Worker;

/// Between two looks at idle upstream connections.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// After the time to drain, the answers that it forced still have to be written.
const SECOND_CHANCE: Duration = Duration::from_millis(500);

/// An order.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept on this socket.
    Listen(BoundListener),
    /// Accept no more on the listener of this key.
    Close { listener: String },
    /// A new snapshot is published: take it now, not at the next request.
    Refresh,
    /// End what is in flight on a rollout's hot-fix backend.
    Cut { rollout: Arc<str>, done: oneshot::Sender<Cut> },
    /// Let what is in flight end, at most for so long.
    Drain { timeout: Duration, done: oneshot::Sender<()> },
}

/// An accept loop; dropped, it ends.
struct Accepting {
    listener: String,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// A worker's life: follow commands until all who could give one are gone.
pub(crate) async fn work(worker: Rc<Worker>, inbox: &mut mpsc::UnboundedReceiver<Command>) {
    tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
    let stack = stack();
    let mut accepting: Vec<Accepting> = Vec::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        let command = tokio::select! {
            command = inbox.recv() => command,
            _ = sweep.tick() => {
                worker.upstreams.sweep();
                worker.telemetry.tidy();
                continue;
            }
        };
        match command {
            None => return,
            Some(Command::Refresh) => drop(worker.snapshot()),
            Some(Command::Cut { rollout, done }) => cut(&worker, &rollout, done),
            Some(Command::Listen(bound)) => {
                let socket = match TcpListener::from_std(bound.socket) {
                    Ok(socket) => socket,
                    Err(error) => {
                        tracing::error!(%error, listener = bound.listener.name, "a worker cannot listen");
                        continue;
                    }
                };
                let (stop, stopped) = oneshot::channel();
                let handle = worker.listener(&bound.listener);
                let stopped = async {
                    // Dropped or sent: both mean stop.
                    let _ = stopped.await;
                };
                let task = accept(Rc::clone(&worker), handle, socket, bound.connections, stopped, stack.clone());
                accepting.push(Accepting {
                    listener: key(&bound.listener),
                    stop,
                    task: tokio::task::spawn_local(task),
                });
            }
            Some(Command::Close { listener }) => accepting.retain(|open| open.listener != listener),
            Some(Command::Drain { timeout, done }) => {
                tokio::select! {
                    () = drain(&worker, std::mem::take(&mut accepting), timeout) => {}
                    () = cut_meanwhile(&worker, inbox) => {}
                }
                let _ = done.send(());
            }
        }
    }
}

async fn drain(worker: &Worker, accepting: Vec<Accepting>, timeout: Duration) {
    worker.drain();
    let ended = async {
        for Accepting { stop, task, .. } in accepting {
            drop(stop);
            // A panic in it was printed by the hook.
            let _ = task.await;
        }
        worker.no_connections().await;
    };
    if tokio::time::timeout(timeout, ended).await.is_err() {
        worker.end_drain();
        // One turn for the answers to be written.
        let _ = tokio::time::timeout(SECOND_CHANCE, worker.no_connections()).await;
    }
}

/// Follows the one command that does not lose its sense in a drain, for ever.
async fn cut_meanwhile(worker: &Worker, inbox: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = inbox.recv().await {
        if let Command::Cut { rollout, done } = command {
            cut(worker, &rollout, done);
        }
    }
    std::future::pending().await
}

fn cut(worker: &Worker, rollout: &str, done: oneshot::Sender<Cut>) {
    // Who asked may not care to know.
    let _ = done.send(worker.canaries.cut(rollout));
}
