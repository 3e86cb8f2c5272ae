//! The scrape: OpenMetrics text by `prometheus-client`, from the merged shards.

mod control;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{BOUNDS, Count, FAMILIES, HistogramSum, Metrics, Series};

/// `content-type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Metrics {
    /// All metrics as OpenMetrics text of type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Never in practice: writing to a `String` does not fail.
    pub fn encode(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(with_exemplars(&text, "patchgate_request_duration_seconds", &self.all_series()))
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.worker_counters(&mut encoder)?;
        self.requests(&mut encoder)?;
        self.calls(&mut encoder)?;
        let server: fn(&Series) -> HistogramSum = Series::server;
        durations(
            self,
            &mut encoder,
            "patchgate_request_duration_seconds",
            "Requests, to the end of the response.",
            server,
        )?;
        durations(
            self,
            &mut encoder,
            "http_server_request_duration_seconds",
            "Requests, to the end of the response.",
            server,
        )?;
        durations(
            self,
            &mut encoder,
            "http_client_request_duration_seconds",
            "Attempts, to the response head.",
            Series::client,
        )?;
        self.spans(&mut encoder)?;
        control::encode(&self.0, &mut encoder)
    }
}

impl Scrape {
    fn worker_counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (family, count) in FAMILIES.iter().zip(Count::ALL) {
            let mut metric = encoder.encode_descriptor(family.name, trimmed(family.help), None, MetricType::Counter)?;
            for (nth, value) in family.values.iter().enumerate() {
                let total = self.0.total(*count, nth);
                match family.label {
                    None => metric.encode_counter::<NoLabelSet, _, f64>(&total, None)?,
                    Some(label) => {
                        metric.encode_family(&[(label, *value)])?.encode_counter::<NoLabelSet, _, f64>(&total, None)?;
                    }
                }
            }
        }
        let open = open_connections(&self.0);
        gauge(encoder, "patchgate_connections", "Client connections open", open)
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "patchgate_requests",
            "Requests ended, by backend, track and status",
            None,
            MetricType::Counter,
        )?;
        for series in self.0.all_series() {
            for (code, count) in series.codes() {
                let code = code.map_or_else(|| "other".to_owned(), |code| code.to_string());
                let mut labels = labels(&series);
                labels.push(("code", code.as_str()));
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "patchgate_grpc_requests",
            "Calls of gRPC ended, by backend, track and status",
            None,
            MetricType::Counter,
        )?;
        for series in self.0.all_series() {
            for (status, count) in series.calls() {
                let status = status.to_string();
                let mut labels = labels(&series);
                labels.push(("grpc_status", status.as_str()));
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn spans(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "patchgate_spans",
            "Spans by channel and what became of them",
            None,
            MetricType::Counter,
        )?;
        for (channel, counts) in ["normal", "canary"].into_iter().zip(&self.0.channels) {
            for (result, count) in counts.all() {
                let labels = [("channel", channel), ("result", result)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        Ok(())
    }
}

impl Metrics {
    pub(in crate::telemetry) fn all_series(&self) -> Vec<Arc<Series>> {
        let series = self.series.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        series.values().cloned().collect()
    }
}

fn labels(series: &Series) -> Vec<(&'static str, &str)> {
    let key = &series.key;
    vec![
        ("service", key.service.as_str()),
        ("backend", key.backend.as_str()),
        ("track", key.track),
        ("patch_group", key.patch_group.as_str()),
        ("patch_version", key.patch_version.as_str()),
    ]
}

fn durations(
    scrape: &Scrape,
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    of: fn(&Series) -> HistogramSum,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, trimmed(help), None, MetricType::Histogram)?;
    for series in scrape.0.all_series() {
        let sum = of(&series);
        if sum.count == 0 {
            continue;
        }
        let family_labels = labels(&series);
        encode_histogram(metric.encode_family(&family_labels)?, &sum)?;
    }
    Ok(())
}

fn encode_histogram(mut metric: MetricEncoder<'_>, sum: &HistogramSum) -> fmt::Result {
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(sum.buckets).collect();
    metric.encode_histogram::<NoLabelSet>(sum.sum, sum.count, &buckets, None)
}

/// Adds exemplars to the bucket lines of one histogram. The encoder makes them for its own histogram types only, so
/// they are put where it would put them: behind the sample (OpenMetrics 1.0, "Exemplars").
fn with_exemplars(text: &str, name: &str, series: &[Arc<Series>]) -> String {
    let mut exemplars = HashMap::new();
    for series in series {
        for (bucket, exemplar) in series.exemplars().into_iter().enumerate() {
            let Some(exemplar) = exemplar else { continue };
            let bound = BOUNDS.get(bucket).map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
            let labels: Vec<String> =
                labels(series).into_iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let seconds = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            exemplars.insert(
                format!("{name}_bucket{{le=\"{bound}\",{}}}", labels.join(",")),
                format!(
                    " # {{trace_id=\"{:032x}\",span_id=\"{:016x}\"}} {:?} {seconds:.3}",
                    exemplar.trace_id, exemplar.span_id, exemplar.value
                ),
            );
        }
    }
    let mut out = String::with_capacity(text.len() + exemplars.len() * 128);
    for line in text.lines() {
        out.push_str(line);
        if let Some(exemplar) = line.split_once("} ").and_then(|(head, _)| exemplars.get(&format!("{head}}}"))) {
            out.push_str(exemplar);
        }
        out.push('\n');
    }
    out
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn open_connections(metrics: &Metrics) -> i64 {
    let opened = metrics.total(Count::ConnectionsOpened, 0);
    opened.saturating_sub(metrics.total(Count::ConnectionsClosed, 0)) as i64
}

/// The encoder ends a help text with a stop of its own.
fn trimmed(help: &str) -> &str {
    help.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::{ExemplarOf, SeriesKey};
    use super::*;

    fn metrics() -> Arc<Metrics> {
        Metrics::new(2, Default::default())
    }

    fn key() -> SeriesKey {
        SeriesKey {
            service: "shop".into(),
            backend: "shop/stable".into(),
            track: "stable",
            patch_group: String::new(),
            patch_version: "v1".into(),
        }
    }

    #[test]
    fn every_family_has_help_and_type_once_and_the_text_ends() {
        let text = metrics().encode().unwrap();
        for family in FAMILIES {
            let line = format!("# TYPE {} counter", family.name);
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}");
            assert!(text.contains(&format!("# HELP {} ", family.name)));
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn samples_carry_their_labels() {
        let metrics = metrics();
        metrics.series(key()).shard(1).finish(200, Duration::from_millis(3));
        metrics.worker(0).add_nth(Count::Marks, 1);
        let text = metrics.encode().unwrap();
        let labels = "service=\"shop\",backend=\"shop/stable\",track=\"stable\",patch_group=\"\",patch_version=\"v1\"";
        assert!(text.contains(&format!("patchgate_requests_total{{{labels},code=\"200\"}} 1")), "{text}");
        assert!(text.contains("patchgate_marks_total{result=\"trusted\"} 1"));
        assert!(text.contains("patchgate_request_duration_seconds_count{"));
        assert!(text.contains("patchgate_build_info{version="));
    }

    #[test]
    fn the_last_bucket_is_infinite_and_counts_all() {
        let metrics = metrics();
        metrics.series(key()).shard(0).finish(200, Duration::from_secs(60));
        let text = metrics.encode().unwrap();
        let infinite =
            text.lines().find(|line| line.starts_with("http_server_request_duration_seconds_bucket{le=\"+Inf\""));
        assert!(infinite.is_some_and(|line| line.ends_with("} 1")), "{infinite:?}");
        let count = text.lines().find(|line| line.starts_with("http_server_request_duration_seconds_count{"));
        assert!(count.is_some_and(|line| line.ends_with("} 1")), "{count:?}");
    }

    #[test]
    fn an_exported_request_is_its_buckets_exemplar() {
        let metrics = metrics();
        let series = metrics.series(key());
        series.shard(0).finish(200, Duration::from_millis(3));
        series.shard(0).note_exemplar(Duration::from_millis(3), Duration::from_secs(1), || ExemplarOf {
            trace_id: 0xab,
            span_id: 0xcd,
            value: 0.003,
            at: SystemTime::now(),
        });
        let text = metrics.encode().unwrap();
        let line = text.lines().find(|line| line.contains("00ab\",span_id=\"00000000000000cd\"} 0.003")).unwrap();
        assert!(line.starts_with("patchgate_request_duration_seconds_bucket{le=\"0.005\""), "{line}");
    }

    #[test]
    fn a_series_asked_for_again_is_the_same() {
        let metrics = metrics();
        assert!(Arc::ptr_eq(&metrics.series(key()), &metrics.series(key())));
    }
}
