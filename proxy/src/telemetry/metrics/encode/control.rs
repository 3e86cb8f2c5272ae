//! The control plane's part of a scrape.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::super::{Control, Durations, Metrics};
use super::gauge;
use crate::balance::Told;

/// Appends all of it.
pub(super) fn encode(metrics: &Metrics, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let control = &metrics.control;
    snapshots(metrics, control, encoder)?;
    rollouts(control, encoder)?;
    log(control, encoder)?;
    requests(control, encoder)?;
    endpoints(metrics, encoder)?;
    certificates(control, encoder)?;
    durations(
        encoder,
        "patchgate_time_to_zero_canary_seconds",
        "From a withdrawal to the end of the last canary request",
        &control.time_to_zero_canary,
    )?;
    durations(
        encoder,
        "patchgate_change_served_seconds",
        "From an order, its append to the event log included, until every worker serves by it",
        &control.change_served,
    )?;
    let mut info = encoder.encode_descriptor("patchgate_build", "The running build", None, MetricType::Info)?;
    info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

fn endpoints(metrics: &Metrics, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Whether an endpoint is left out for its failures";
    let mut metric = encoder.encode_descriptor("patchgate_endpoint_ejected", help, None, MetricType::Gauge)?;
    let all = metrics.endpoints.told();
    let labels = |told: &Told| [("backend", told.backend.to_string()), ("endpoint", told.address.to_string())];
    for told in &all {
        metric.encode_family(&labels(told))?.encode_gauge(&i64::from(told.ejected))?;
    }
    let help = "What is taken of a bound of circuit_breaker";
    let mut metric = encoder.encode_descriptor("patchgate_circuit_in_use", help, None, MetricType::Gauge)?;
    for (backend, limit, taken) in metrics.circuits.told() {
        let labels = [("backend", backend.to_string()), ("limit", limit.to_owned())];
        metric.encode_family(&labels)?.encode_gauge(&i64::from(taken))?;
    }
    let checked = || all.iter().filter(|told| told.checks != [0, 0]);
    let help = "Whether an endpoint is well, as its checks say";
    let mut metric = encoder.encode_descriptor("patchgate_endpoint_healthy", help, None, MetricType::Gauge)?;
    for told in checked() {
        metric.encode_family(&labels(told))?.encode_gauge(&i64::from(told.healthy))?;
    }
    let help = "Checks of an endpoint's health, by result";
    let mut metric = encoder.encode_descriptor("patchgate_health_checks", help, None, MetricType::Counter)?;
    for told in checked() {
        let [backend, endpoint] = labels(told);
        for (result, count) in ["passed", "failed"].into_iter().zip(told.checks) {
            let labels = [backend.clone(), endpoint.clone(), ("result", result.to_owned())];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
    }
    Ok(())
}

fn certificates(control: &Control, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let name = "patchgate_tls_certificate_not_after_timestamp_seconds";
    let mut metric = encoder.encode_descriptor(name, "When a certificate in force ends", None, MetricType::Gauge)?;
    for (file, not_after) in control.certificates() {
        metric.encode_family(&[("certificate_file", file)])?.encode_gauge(&(not_after as i64))?;
    }
    Ok(())
}

fn snapshots(metrics: &Metrics, control: &Control, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let revision = control.snapshot_revision.load(Ordering::Relaxed) as i64;
    gauge(encoder, "patchgate_snapshot_revision", "Revision of the snapshot in force", revision)?;
    let applied = metrics.applied_revision() as i64;
    gauge(encoder, "patchgate_snapshot_applied_revision", "Least revision that a worker serves from", applied)?;
    gauge(
        encoder,
        "patchgate_config_last_reload_successful",
        "Whether the last configuration was applied",
        control.last_reload_successful.load(Ordering::Relaxed),
    )?;
    gauge(
        encoder,
        "patchgate_config_last_reload_success_timestamp_seconds",
        "When the last configuration was applied",
        control.last_reload_seconds.load(Ordering::Relaxed) as i64,
    )?;
    let mut metric = encoder.encode_descriptor(
        "patchgate_config_reloads",
        "Configurations by outcome",
        None,
        MetricType::Counter,
    )?;
    for (result, count) in [("applied", &control.reloads_applied), ("rejected", &control.reloads_rejected)] {
        let count = count.load(Ordering::Relaxed);
        metric.encode_family(&[("result", result)])?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
    }
    Ok(())
}

fn rollouts(control: &Control, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rollouts = control.rollouts();
    let mut metric = encoder.encode_descriptor(
        "patchgate_rollout_exposure_ratio",
        "Share of requests that a live rollout's percentages give the patch",
        None,
        MetricType::Gauge,
    )?;
    for rollout in &rollouts {
        for (service, exposure) in &rollout.exposures {
            let labels = [("rollout", rollout.name.as_str()), ("service", service.as_str())];
            metric.encode_family(&labels)?.encode_gauge(exposure)?;
        }
    }
    let help = "1 for the state that a live rollout is in";
    let mut metric = encoder.encode_descriptor("patchgate_rollout_state", help, None, MetricType::Gauge)?;
    for rollout in &rollouts {
        let labels = [("rollout", rollout.name.as_str()), ("state", rollout.state)];
        metric.encode_family(&labels)?.encode_gauge(&1i64)?;
    }
    Ok(())
}

fn log(control: &Control, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let sequence = control.log_sequence.load(Ordering::Relaxed) as i64;
    gauge(encoder, "patchgate_log_sequence", "Sequence of the event log's last event", sequence)?;
    let verified = control.log_verified_seconds.load(Ordering::Relaxed) as i64;
    if verified > 0 {
        let help = "When the event log was last found to be whole";
        gauge(encoder, "patchgate_log_verified_timestamp_seconds", help, verified)?;
    }
    let help = "Verifications that found the event log damaged, or the state not to follow from it";
    encoder
        .encode_descriptor("patchgate_log_verify_failures", help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, f64>(&control.log_verify_failures.load(Ordering::Relaxed), None)?;
    let help = "Appends that the event log did not take or did not confirm";
    encoder
        .encode_descriptor("patchgate_log_append_failures", help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, f64>(&control.log_append_failures.load(Ordering::Relaxed), None)?;
    durations(
        encoder,
        "patchgate_log_append_seconds",
        "From an append to the event log until it is on disk",
        &control.log_append,
    )
}

fn requests(control: &Control, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "patchgate_admin_requests",
        "Requests to the admin API, by route and status",
        None,
        MetricType::Counter,
    )?;
    for ((route, code), count) in control.admin_requests() {
        let code = code.to_string();
        let labels = [("route", route), ("code", code.as_str())];
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
    }
    Ok(())
}

fn durations(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, durations: &Durations) -> fmt::Result {
    let sums = durations.read();
    let bounds = durations.bounds().iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(sums.buckets).collect();
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(sums.sum, sums.count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::super::LiveRollout;
    use super::*;

    fn lines(metrics: &Arc<Metrics>, name: &str) -> Vec<String> {
        metrics.encode().unwrap().lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    fn live(name: &str, state: &'static str, exposures: &[(&str, f64)]) -> LiveRollout {
        let exposures = exposures.iter().map(|(service, exposure)| ((*service).to_owned(), *exposure)).collect();
        LiveRollout { name: name.to_owned(), state, exposures }
    }

    #[test]
    fn rollouts_are_told_while_they_live() {
        let metrics = Metrics::new(1, Default::default());
        let control = &metrics.control;
        control.set_rollouts(vec![
            live("fix", "canary", &[("shop", 0.25), ("search", 0.25)]),
            live("other", "paused", &[("shop", 0.0)]),
        ]);
        assert_eq!(
            lines(&metrics, "patchgate_rollout_exposure_ratio{"),
            [
                "patchgate_rollout_exposure_ratio{rollout=\"fix\",service=\"shop\"} 0.25",
                "patchgate_rollout_exposure_ratio{rollout=\"fix\",service=\"search\"} 0.25",
                "patchgate_rollout_exposure_ratio{rollout=\"other\",service=\"shop\"} 0.0",
            ]
        );
        control.set_rollouts(vec![live("other", "canary", &[("shop", 0.1)])]);
        assert_eq!(
            lines(&metrics, "patchgate_rollout_state{"),
            ["patchgate_rollout_state{rollout=\"other\",state=\"canary\"} 1"]
        );
        assert_eq!(lines(&metrics, "patchgate_rollout_exposure_ratio{").len(), 1, "what ended is gone");
    }

    #[test]
    fn the_log_is_told_and_when_it_was_verified_only_if_it_was() {
        let metrics = Metrics::new(1, Default::default());
        let control = &metrics.control;
        assert!(lines(&metrics, "patchgate_log_verified_timestamp_seconds ").is_empty());
        control.log_sequence.store(1042, Ordering::Relaxed);
        control.log_verified(1_790_000_000);
        control.log_verify_failed();
        control.log_append.observe(Duration::from_millis(3));
        assert_eq!(lines(&metrics, "patchgate_log_sequence "), ["patchgate_log_sequence 1042"]);
        let verified = lines(&metrics, "patchgate_log_verified_timestamp_seconds ");
        assert_eq!(verified, ["patchgate_log_verified_timestamp_seconds 1790000000"]);
        assert_eq!(lines(&metrics, "patchgate_log_verify_failures_total "), ["patchgate_log_verify_failures_total 1"]);
        let buckets = lines(&metrics, "patchgate_log_append_seconds_bucket");
        assert!(buckets.iter().any(|line| line.ends_with("{le=\"0.0025\"} 0")), "{buckets:?}");
        assert!(buckets.iter().any(|line| line.ends_with("{le=\"0.005\"} 1")), "{buckets:?}");
    }

    #[test]
    fn admin_requests_are_counted_by_route_and_status() {
        let metrics = Metrics::new(1, Default::default());
        for code in [200, 200, 409] {
            metrics.control.admin_request("/v1/rollouts/{name}", code);
        }
        assert_eq!(
            lines(&metrics, "patchgate_admin_requests_total{"),
            [
                "patchgate_admin_requests_total{route=\"/v1/rollouts/{name}\",code=\"200\"} 2",
                "patchgate_admin_requests_total{route=\"/v1/rollouts/{name}\",code=\"409\"} 1",
            ]
        );
    }

    #[test]
    fn a_withdrawal_is_told_by_how_long_it_took() {
        let metrics = Metrics::new(1, Default::default());
        metrics.control.time_to_zero_canary.observe(Duration::from_millis(40));
        let buckets = lines(&metrics, "patchgate_time_to_zero_canary_seconds_bucket");
        assert!(buckets.iter().any(|line| line.ends_with("{le=\"0.05\"} 1")), "{buckets:?}");
    }
}
