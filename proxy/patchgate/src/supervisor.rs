//! Tells systemd how far the process is, where systemd asks for it (`Type=notify`); elsewhere nothing.
//!
//! A service manager that is not there, or does not listen, never keeps the gateway from serving.

use sd_notify::NotifyState;

/// Every listener is bound and served.
pub(crate) fn serving() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is read again; what was in force serves on.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// No new connections soon; those that are there end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
