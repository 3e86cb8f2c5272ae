//! The command line: what can be written there, and its help. What it does is in the modules of the same names.
//!
//! - here: what serves, checks and shows;
//! - [`server`]: options of every command that asks the admin API; [`rollout`], [`explain`], [`log`], [`token`],
//!   [`drain`]: those commands;
//! - [`mark`]: header lines for tests by hand;
//! - [`parse`]: texts → values.

pub(crate) mod drain;
pub(crate) mod explain;
pub(crate) mod log;
pub(crate) mod mark;
pub(crate) mod parse;
pub(crate) mod rollout;
pub(crate) mod server;
pub(crate) mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// HTTP reverse proxy for the gray release of hot-fix patches.
///
/// Reads the patch mark from the W3C trace state, sends marked requests to the hot-fix backend, samples them at 100 %
/// and commits exactly one response for each.
#[derive(Debug, Parser)]
#[command(name = "patchgate", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a configuration until SIGTERM; SIGHUP or a change of the file reloads it.
    Run(RunArgs),
    /// Check a configuration, every error and every risky pattern at once, or whether a gateway is ready.
    ///
    /// Exits 0 when it can be served or is ready, 1 on errors, 2 on warnings with --strict.
    Check(CheckArgs),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Show the main job: two sample backends, a gateway and a rollout in one process, with traffic.
    ///
    /// Exits 0 when all that was seen is what should be seen, 1 otherwise.
    Demo(DemoArgs),
    /// Look at patch rollouts and change them.
    #[command(after_help = rollout::EXIT_CODES)]
    Rollout(rollout::RolloutArgs),
    /// Tell where a request goes and why: one that might come, or one that came.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Look into the event log, check it and prove it.
    Log(log::LogArgs),
    /// Make, list and revoke the tokens of the admin API.
    Token(token::TokenArgs),
    /// Print the header lines of a marked request, for a test by hand.
    #[command(after_help = mark::EXAMPLES)]
    Mark(mark::MarkArgs),
    /// Ask a gateway to end without failing a request.
    #[command(after_help = drain::EXAMPLES)]
    Drain(drain::DrainArgs),
    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  patchgate completions bash > /etc/bash_completion.d/patchgate")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages of all commands, or print the first one.
    #[command(after_help = "Examples:\n  patchgate man | man -l -\n  patchgate man /usr/local/share/man/man1")]
    Man {
        /// Directory for all pages; made if there is none.
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration file (YAML).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Form of the log lines on standard error. What is logged is chosen by RUST_LOG, such as `debug`.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file (YAML).
    #[arg(short, long, value_name = "FILE", required_unless_present = "health")]
    pub(crate) config: Option<PathBuf>,
    /// Ask a running gateway whether it is ready, at its health.address, such as http://127.0.0.1:9902.
    #[arg(long, value_name = "URL")]
    pub(crate) health: Option<String>,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub(crate) format: CheckFormat,
    /// Exit 2 on warnings.
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people, with the offending text.
    Human,
    /// A JSON document.
    Json,
    /// SARIF 2.1.0, for code scanners.
    Sarif,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Requests of each kind.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) requests: u32,
    /// Leave it running and print commands to try.
    #[arg(long)]
    pub(crate) serve: bool,
}
