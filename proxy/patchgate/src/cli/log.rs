//! `patchgate log …`.

use clap::{Args, Subcommand};

use super::parse::{self, Moment};
use super::server::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show events, or how things stood at a moment and who had brought them there.
    #[command(after_help = "Examples:\n  patchgate log show --rollout checkout-npe-fix\n  \
                            patchgate log show --at 2026-01-31T14:03:00Z\n  patchgate log show --at 2h")]
    Show(ShowArgs),
    /// Replay the whole log, and compare what comes out with what the server has in memory.
    ///
    /// Exits 1 if the log is damaged, breaks its chain or a rule of rollouts, or is not what the server serves by.
    #[command(after_help = "Examples:\n  patchgate log verify")]
    Verify,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// How things stood then: a time such as 2026-01-31T14:03:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = parse::moment)]
    pub(crate) at: Option<Moment>,
    /// Of this rollout only.
    #[arg(long, value_name = "NAME")]
    pub(crate) rollout: Option<String>,
    /// From this event on.
    #[arg(long, value_name = "N", conflicts_with = "at")]
    pub(crate) from: Option<u64>,
}
