//! `patchgate drain`.

use std::time::Duration;

use clap::Args;

use super::parse;
use super::server::ServerArgs;

pub(crate) const EXAMPLES: &str = "\
Exit codes:
  0  it drains; with --wait: it has ended
  1  error
  3  it has not ended in time

Example:
  patchgate drain --wait 90s --reason 'new node image'";

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Wait until it has ended, but not longer than this, such as 90s.
    #[arg(long, value_name = "D", value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
