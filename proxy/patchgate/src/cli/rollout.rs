//! `patchgate rollout …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::parse::{self, Field};
use super::server::ServerArgs;

/// Told by `rollout --help` and `rollout status --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; of `status`: promoted or completed
  1  error: what, and what would help, is on standard error
  2  of `status`: rolled back or aborted
  3  of `status`: not there yet, in time
  4  of `status`: paused
  5  not confirmed: the answer to a change was lost; the same --idempotency-key finds out";

#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(subcommand)]
    pub(crate) command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// List rollouts: the live ones, those in need of somebody first.
    #[command(after_help = "Examples:\n  patchgate rollout list\n  patchgate rollout list --all -o json\n  \
                            patchgate rollout list -w")]
    List(ListArgs),
    /// Show one rollout: its stages, its traffic, what it waits for.
    #[command(after_help = "Examples:\n  patchgate rollout get checkout-npe-fix\n  \
                            patchgate rollout get checkout-npe-fix -w --exit")]
    Get(GetArgs),
    /// Create the rollouts of a file, and begin their first stage.
    ///
    /// The file has one rollout, as an entry of the configuration's `rollouts`, or several under `rollouts`.
    #[command(after_help = "Examples:\n  patchgate rollout create -f fix.yaml --reason 'NPE in checkout'\n  \
                            patchgate rollout create -f fix.yaml --dry-run")]
    Create(CreateArgs),
    /// Show how the rollouts of a file differ from those in the log, and what creating them would move.
    #[command(after_help = "Example:\n  patchgate rollout diff -f fix.yaml")]
    Diff(FileArg),
    /// Tell by the exit code how a rollout stands, or wait for it.
    #[command(after_help = STATUS_HELP)]
    Status(StatusArgs),
    /// Let no further stage begin; the exposure stays as it is.
    #[command(after_help = "Example:\n  patchgate rollout pause checkout-npe-fix --reason 'p99 looks odd'")]
    Pause(ChangeArgs),
    /// Go on from where it was paused.
    #[command(after_help = "Example:\n  patchgate rollout resume checkout-npe-fix --reason 'p99 was the cache'")]
    Resume(ChangeArgs),
    /// Begin the next stage now, or give the patch to everybody.
    #[command(after_help = "Examples:\n  patchgate rollout promote checkout-npe-fix --reason 'looks good'\n  \
                            patchgate rollout promote checkout-npe-fix --full --dry-run")]
    Promote(PromoteArgs),
    /// Be the second person who lets a rollout above its approval share.
    #[command(after_help = "Example:\n  patchgate rollout approve checkout-npe-fix --reason 'read the diff'")]
    Approve(ChangeArgs),
    /// End a promoted rollout: stable runs the patch by now.
    #[command(after_help = "Example:\n  patchgate rollout complete checkout-npe-fix --reason 'v2.1.3 is out'")]
    Complete(ChangeArgs),
    /// Give nobody the patch any more, at once, whatever state it is in. Asks nothing.
    #[command(after_help = "Example:\n  patchgate rollout abort checkout-npe-fix")]
    Abort(ChangeArgs),
    /// Keep requests away from the patch: those of a user, a tenant, a network.
    ///
    /// What is given is added to what is there; --clear takes away what is there first.
    #[command(after_help = "Examples:\n  patchgate rollout force-stable checkout-npe-fix --header x-tenant=acme\n  \
                            patchgate rollout force-stable checkout-npe-fix --address 10.1.0.0/16 --cookie beta\n  \
                            patchgate rollout force-stable checkout-npe-fix --clear")]
    ForceStable(ForceStableArgs),
    /// Show everything that was done to a rollout: when, by whom, why.
    #[command(after_help = "Example:\n  patchgate rollout history checkout-npe-fix")]
    History {
        /// The rollout.
        name: String,
    },
}

const STATUS_HELP: &str = "\
Exit codes:
  0  promoted or completed, or what --until asks for
  1  error
  2  rolled back or aborted
  3  not there yet, in time
  4  paused

Example:
  patchgate rollout status checkout-npe-fix --wait --timeout 30m";

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those at an end, too.
    #[arg(short = 'A', long)]
    pub(crate) all: bool,
    /// Those that are live; this is the default.
    #[arg(long, conflicts_with = "all")]
    pub(crate) live: bool,
    /// Follow them until interrupted.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The rollout.
    pub(crate) name: String,
    /// Follow it until interrupted: in place on a terminal, else a line a change.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Follow it until it is at an end.
    #[arg(long, requires = "watch")]
    pub(crate) exit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FileArg {
    /// The file (YAML or JSON).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) file: FileArg,
    /// Begin the first stage at once.
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) start: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The rollout.
    pub(crate) name: String,
    /// Wait until it is there, at an end, or paused; --timeout says how long.
    #[arg(long)]
    pub(crate) wait: bool,
    /// What ends well.
    #[arg(long, value_enum, default_value_t = Until::Promoted)]
    pub(crate) until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// Everybody is given the patch.
    Promoted,
    /// Stable runs the patch.
    Completed,
    /// It is paused, or has come further.
    Paused,
}

/// Options of every change.
#[derive(Debug, Args)]
#[command(next_help_heading = "Change options")]
pub(crate) struct WriteArgs {
    /// Why; asked for on a terminal.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Change nothing; tell what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Name of this order: given twice, it is carried out once [default: a random one].
    #[arg(long, value_name = "KEY", value_parser = parse::key)]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The rollout.
    pub(crate) name: String,
    /// Only if it is at this version [default: the one it has when the command begins; abort asks for none].
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Skip all stages that are left.
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForceStableArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// At least one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Who {
    /// Requests with this header field, whatever its value without `=VALUE`.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = parse::field)]
    pub(crate) header: Vec<Field>,
    /// Requests with this cookie.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = parse::field)]
    pub(crate) cookie: Vec<Field>,
    /// Requests with this query parameter.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = parse::field)]
    pub(crate) query: Vec<Field>,
    /// Requests from these addresses.
    #[arg(long, value_name = "CIDR")]
    pub(crate) address: Vec<String>,
    /// Take away what is there.
    #[arg(long)]
    pub(crate) clear: bool,
}
