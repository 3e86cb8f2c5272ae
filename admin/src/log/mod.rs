//! The log as a whole: folding it, proving it, looking back in it.

mod at;
mod fold;
mod proof;
mod verify;

pub use at::{Exposure, at};
pub use fold::{Fault, Fold};
pub use proof::Proof;
pub use verify::{Observe, Verifier, VerifyError};
