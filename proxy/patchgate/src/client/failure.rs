//! What can go wrong on this side of the admin API, and with which exit code it ends.

use std::io;
use std::path::PathBuf;

use patchgate_admin::api::dto::Problem;
use patchgate_admin::tokens::TokensError;
use patchgate_config::diagnostic::Report;
use patchgate_config::load::LoadError;

/// Exit code of an error.
const ERROR: u8 = 1;

/// Exit code of a change whose answer was lost.
const NOT_CONFIRMED: u8 = 5;

/// Why a command did not do what it was to do. Each says what would help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody answers there.
    #[error(
        "cannot reach the admin API at {url} ({origin}): {why}; is patchgate running there? \
         --server URL, $PATCHGATE_SERVER or -c FILE name another address"
    )]
    Unreachable { url: String, origin: String, why: String },
    /// An answer was lost, of something that changes nothing.
    #[error("the answer of {url} was lost: {why}; try again, with a longer --timeout if it was late")]
    Lost { url: String, why: String },
    /// The answer to a change was lost: it may or may not have been carried out.
    #[error("not confirmed: {why}; it may have been done or not: {again}")]
    NotConfirmed { why: String, again: String },
    /// The admin API said no.
    #[error("{}", told(.0))]
    Refused(Box<Problem>),
    /// Somebody was faster.
    #[error("rollout {name} is at version {actual}, you sent {sent} ({who}): see patchgate rollout get {name}")]
    Changed { name: String, actual: u64, sent: u64, who: String },
    /// What answers is no admin API, or one of another time.
    #[error("{url} answers, but not as an admin API does ({what}); is the address right, and is it as new as this?")]
    NotTheApi { url: String, what: String },
    /// An argument or a variable is not what it should be.
    #[error("{0}")]
    Usage(String),
    /// A configuration cannot be read.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// A rollout's file has errors.
    #[error("{0}")]
    Invalid(Report),
    /// The tokens cannot be read or changed.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The log is not what it should be.
    #[error("{0}")]
    Log(String),
    /// The operating system said no.
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// Nobody can be told.
    #[error("cannot write to standard output: {0}")]
    Untold(#[source] io::Error),
}

impl Failure {
    /// What the process ends with.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NotConfirmed { .. } => NOT_CONFIRMED,
            _ => ERROR,
        }
    }

    /// The status that the admin API answered with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// Whether it may be otherwise in a moment: the server starts anew, or a network is down.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused(problem) => problem.status == 429 || problem.status == 503,
            _ => false,
        }
    }
}

/// A problem in full: its case, its parts, and under which id the server's log has it.
fn told(problem: &Problem) -> String {
    let mut text = problem.detail.clone();
    for error in &problem.errors {
        text.push_str(&format!("\n  {}: {}", error.path, error.detail));
    }
    let help = match problem.status {
        401 => "; put a token into $PATCHGATE_TOKEN, or name its file with --token-file",
        _ => "",
    };
    let request = match &*problem.request_id {
        "" => String::new(),
        id => format!(" (request {id})"),
    };
    text + help + &request
}
