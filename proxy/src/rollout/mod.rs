//! Which track a request is on, and why.
