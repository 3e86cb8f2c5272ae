//! `patchgate token …`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use patchgate_admin::rollout::Role;

use super::parse;
use super::server::Format;

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The token file [default: that of -c FILE, else ./patchgate-data/tokens.json].
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) tokens: Option<PathBuf>,
    /// Take the token file from this configuration.
    #[arg(short, long, value_name = "FILE", global = true, conflicts_with = "tokens")]
    pub(crate) config: Option<PathBuf>,
    /// How to tell.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and show its secret, this once: only its hash is kept.
    #[command(after_help = "Examples:\n  patchgate token create --name ann --role admin\n  patchgate token create \
                            --name ci --role operator --services 'shop-*,cart' --expires 90d > token")]
    Create {
        /// Whose it is: the actor in every event that it causes.
        #[arg(long)]
        name: String,
        /// What it may do; each role may do what those before it may.
        #[arg(long, value_enum)]
        role: RoleArg,
        /// Patterns of the services that it may do this to; `*` is any text, `?` any character.
        #[arg(long, value_name = "GLOB,…", value_delimiter = ',', default_value = "*")]
        services: Vec<String>,
        /// From now on until it is worth nothing, such as 90d [default: for ever].
        #[arg(long, value_name = "D", value_parser = parse::duration)]
        expires: Option<Duration>,
    },
    /// List the tokens: whose, what they may do, until when.
    #[command(after_help = "Example:\n  patchgate token list -c patchgate.yaml")]
    List,
    /// Take a token away.
    #[command(after_help = "Example:\n  patchgate token revoke ci")]
    Revoke {
        /// Whose it is.
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Look.
    Viewer,
    /// Create, promote, pause, resume, abort, complete.
    Operator,
    /// Approve, besides.
    Approver,
    /// Everything.
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Approver => Self::Approver,
            RoleArg::Admin => Self::Admin,
        }
    }
}
