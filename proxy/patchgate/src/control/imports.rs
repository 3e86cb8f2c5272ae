//! What the configuration declares → orders: a rollout that is new is imported, one whose patch stable runs is complete.

use std::sync::Arc;

use patchgate_admin::controller::{Controller, Wanted};
use patchgate_admin::projection::{completions, drift, imports};
use patchgate_config::model::Model;
use tokio::sync::watch;

/// Follows the configuration.
pub(super) async fn follow(controller: Controller, mut models: watch::Receiver<Arc<Model>>) {
    while models.changed().await.is_ok() {
        let model = Arc::clone(&models.borrow_and_update());
        import(&controller, &model).await;
    }
}

/// Imports what the log does not know, completes what stable runs, and tells what differs.
pub(super) async fn import(controller: &Controller, model: &Model) {
    let state = controller.state();
    for order in imports(model, &state).into_iter().chain(completions(model, &state)) {
        let (rollout, what) = (order.rollout.clone(), order.command.name());
        match controller.carry_out(Wanted::Order(order, None)).await {
            Ok(done) => tracing::info!(rollout, what, sequence = done.sequence, "by the configuration"),
            Err(failure) => tracing::error!(rollout, what, %failure, "not carried out, as the configuration wishes"),
        }
    }
    for differs in drift(model, &controller.state()) {
        tracing::warn!(rollout = differs.rollout, "{}", differs.what);
    }
}
