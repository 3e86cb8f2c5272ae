//! `patchgate log …`.

use std::path::PathBuf;

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
                            patchgate log show --at 2026-01-31T14:03:00Z\n  patchgate log show --at 2h --data \
                            ./patchgate-data")]
    Show(ShowArgs),
    /// Replay the whole log, and compare what comes out with what the server has in memory.
    ///
    /// Exits 1 if the log is damaged, breaks its chain or a rule of rollouts, or is not what the server serves by.
    #[command(after_help = "Examples:\n  patchgate log verify\n  patchgate log verify --data ./patchgate-data")]
    Verify {
        /// Read this data directory instead; a server need not run, but is compared with if it does.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Write what an auditor checks a copy of the log by: range, head of the chain, hash of the state.
    #[command(after_help = "Example:\n  patchgate log prove --data ./patchgate-data -f proof.json")]
    Prove {
        #[command(flatten)]
        data: DataArg,
        /// Where to [default: standard output].
        #[arg(short, long, value_name = "OUT")]
        file: Option<PathBuf>,
    },
    /// Copy what is whole of the log into a new data directory, hashes and all.
    #[command(after_help = "Example:\n  patchgate log export --data ./patchgate-data --until 1041 ./rescued")]
    Export {
        #[command(flatten)]
        data: DataArg,
        /// The last event to copy [default: the last whole one].
        #[arg(long, value_name = "N")]
        until: Option<u64>,
        /// The new data directory.
        out: PathBuf,
    },
}

/// Where the log is.
#[derive(Debug, Args)]
pub(crate) struct DataArg {
    /// The data directory [default: that of -c FILE, else ./patchgate-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
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
    /// Read this data directory instead of asking a server.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}
