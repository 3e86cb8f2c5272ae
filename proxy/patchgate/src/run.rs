//! `patchgate run`: serve, follow the file and the signals, end in order.

use std::process::ExitCode;
use std::sync::Arc;

use patchgate_config::load::load;
use patchgate_proxy::panics;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::Gateway;
use crate::cli::RunArgs;
use crate::control::{Control, Logged, Wish};
use crate::otel;
use crate::reload::{Reloader, environment};
use crate::supervisor;

type Error = Box<dyn std::error::Error>;

/// Serves until told to end.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Error> {
    // Small and on one thread: the workers have their own runtimes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(serve(args))?;
    // Tasks of the health listener may still wait for clients.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve(args: &RunArgs) -> Result<ExitCode, Error> {
    let loaded = match load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let logs = otel::init(args.log_format, &loaded.model.telemetry)?;
    panics::install_hook();
    let mut signals = Signals::new()?;
    let model = Arc::clone(&loaded.model);
    let control = match &model.admin {
        None => None,
        Some(admin) => Some(Control::open(admin, &model, &args.config.display().to_string()).await?),
    };
    let mut gateway = Gateway::start(&model, control).await?;
    tell_start(&gateway, &loaded);
    supervisor::serving();
    let mut reloader = Reloader::new(&args.config, &loaded);
    loop {
        tokio::select! {
            wish = Control::next(&mut gateway.control) => match wish {
                Wish::Serve(logged) => follow(&mut gateway, logged),
                Wish::Drain => {
                    end(gateway, true, &mut signals).await;
                    break;
                }
            },
            () = reloader.changed() => reloader.reload(&mut gateway, false),
            panicked = gateway.proxy.panics.next() => panicked.log(),
            told = signals.next() => match told {
                Told::Reload => {
                    supervisor::reloading();
                    reloader.reload(&mut gateway, true);
                    supervisor::serving();
                }
                Told::End { patient } => {
                    end(gateway, patient, &mut signals).await;
                    break;
                }
            },
        }
    }
    logs.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

fn follow(gateway: &mut Gateway, logged: Logged) {
    let sequence = logged.sequence;
    if let Err(error) = gateway.follow(logged) {
        tracing::error!(%error, sequence, "what the event log says is not served; what was served before is");
    }
}

fn tell_start(gateway: &Gateway, loaded: &patchgate_config::load::Loaded) {
    for diagnostic in &loaded.report.diagnostics {
        let at = format!("{}:{}:{}", loaded.report.file, diagnostic.line, diagnostic.column);
        tracing::warn!(rule = diagnostic.rule.id, at, "{}", diagnostic.message);
    }
    if let Some(address) = gateway.health {
        tracing::info!(listener = "health", %address, "listening");
    }
    if let Some(control) = &gateway.control {
        tracing::info!(listener = "admin", address = %control.address, "listening");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = gateway.workers(),
        revision = gateway.revision(),
        "serving"
    );
}

/// Not ready → delay → connections end → spans are shipped. A second signal skips the delay, a third ends at once.
async fn end(gateway: Gateway, patient: bool, signals: &mut Signals) {
    gateway.turn_away();
    supervisor::stopping();
    let drain = gateway.proxy.snapshot().drain;
    let delay = if patient { drain.delay } else { std::time::Duration::ZERO };
    tracing::info!(?delay, timeout = ?drain.timeout, "draining");
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = signals.end() => {}
    }
    tokio::select! {
        shipped = gateway.stop() => {
            if !shipped {
                tracing::warn!("not all spans reached their collector in time");
            }
            tracing::info!("stopped");
        }
        () = signals.end() => tracing::warn!("stopped at once, told so again"),
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::End { patient: true },
            _ = self.interrupt.recv() => Told::End { patient: false },
        }
    }

    /// The next order to end; others are too late.
    async fn end(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}

/// What a signal says.
enum Told {
    /// Read the file again.
    Reload,
    /// Stop. Patient: others have to look away first; else a person waits at a terminal.
    End { patient: bool },
}
