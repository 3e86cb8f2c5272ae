//! Options of every command that asks the admin API.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::parse;

/// Where the admin API is, how to be known there, and how to tell what it says.
///
/// A token is in the environment or in a file, never among the arguments: those everybody on the machine can read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server options")]
pub(crate) struct ServerArgs {
    /// Where the admin API is [default: that of -c FILE, else $PATCHGATE_SERVER, else http://127.0.0.1:9901].
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) server: Option<String>,
    /// Take the address (admin.address) from this configuration.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// File with the token to be known by [default: the token itself in $PATCHGATE_TOKEN].
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Give up after this long, such as 30s or 10m: on an answer [default: 15s], or on what `status --wait` waits for
    /// [default: never].
    #[arg(long, value_name = "D", value_parser = parse::duration, global = true)]
    pub(crate) timeout: Option<Duration>,
    /// How to tell.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// What the API says, as JSON; a document a line where there are several.
    Json,
    /// The same as YAML.
    Yaml,
}
