//! `patchgate mark`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse;

pub(crate) const EXAMPLES: &str = "\
Examples:
  curl -H @<(patchgate mark backend-canary v2.1.3) https://shop.example.com/
  curl -H @<(patchgate mark backend-canary v2.1.3 --key-file mark.key --ttl 10m) https://shop.example.com/";

#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    /// The patch's group.
    pub(crate) group: String,
    /// The patch's version.
    pub(crate) version: String,
    /// Sign the mark with the key in this file, so that listeners with it in `trust.mark_key_files` believe it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// For how long the signature is worth something.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse::duration, requires = "key_file")]
    pub(crate) ttl: Duration,
    /// The trace's id, 32 hexadecimal digits [default: a new one].
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
}
