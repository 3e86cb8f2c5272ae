//! A closed loop of keep-alive clients that counts every failure: a broken connection, an unexpected status, a body
//! that is not what it should be. Nothing is retried, so nothing is hidden.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::client::{Client, Reply};

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// A refused connect is the gateway having ended, not a failure.
    ending: AtomicBool,
    done: AtomicUsize,
}

/// What came of a load.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Requests answered as expected.
    pub fine: usize,
    /// Connects refused after [`Load::expect_end`].
    pub turned_away: usize,
    /// Everything else, by what was seen.
    pub failures: BTreeMap<String, usize>,
}

impl Load {
    /// `clients` threads that GET `path` with `fields` again and again; `check` says what is wrong with a reply.
    #[must_use]
    pub fn start(
        to: SocketAddr,
        clients: usize,
        path: &'static str,
        fields: &'static [(&'static str, &'static str)],
        check: impl Fn(&Reply) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let (shared, check) = (Arc::new(Shared::default()), Arc::new(check));
        let threads = (0..clients)
            .map(|_| {
                let (shared, check) = (Arc::clone(&shared), Arc::clone(&check));
                std::thread::spawn(move || client(to, path, fields, &*check, &shared))
            })
            .collect();
        Self { shared, threads }
    }

    /// Requests answered so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// Waits until so many more requests are answered.
    pub fn wait_for(&self, more: usize) {
        let target = self.done() + more;
        crate::eventually("the load to go on", || (self.done() >= target).then_some(()));
    }

    /// From now on a refused connect ends a client.
    pub fn expect_end(&self) {
        self.shared.ending.store(true, Ordering::SeqCst);
    }

    /// Stops all clients after the request they are at.
    ///
    /// # Panics
    /// When a client has.
    #[must_use]
    pub fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.join()
    }

    /// Waits until every client was turned away.
    ///
    /// # Panics
    /// When a client has.
    #[must_use]
    pub fn join(self) -> Tally {
        let mut sum = Tally::default();
        for thread in self.threads {
            let tally = thread.join().expect("a client does not panic");
            sum.fine += tally.fine;
            sum.turned_away += tally.turned_away;
            for (what, count) in tally.failures {
                *sum.failures.entry(what).or_default() += count;
            }
        }
        sum
    }
}

fn client(
    to: SocketAddr,
    path: &str,
    fields: &[(&str, &str)],
    check: &dyn Fn(&Reply) -> Result<(), String>,
    shared: &Shared,
) -> Tally {
    let mut tally = Tally::default();
    let mut connection: Option<Client> = None;
    while !shared.stop.load(Ordering::SeqCst) {
        let mut client = match connection.take().map_or_else(|| Client::connect(to), Ok) {
            Ok(client) => client,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && shared.ending.load(Ordering::SeqCst) => {
                tally.turned_away += 1;
                return tally;
            }
            Err(error) => {
                *tally.failures.entry(format!("connect: {error}")).or_default() += 1;
                continue;
            }
        };
        let outcome = match client.get(path, fields) {
            Ok(reply) => {
                if !reply.closes() {
                    connection = Some(client);
                }
                check(&reply)
            }
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => tally.fine += 1,
            Err(what) => *tally.failures.entry(what).or_default() += 1,
        }
        shared.done.fetch_add(1, Ordering::SeqCst);
    }
    tally
}
