//! What routes cost: a look-up among few and many, and a whole configuration from its text and from its model.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use patchgate_config::compile;
use patchgate_config::load::{Loaded, from_text};
use patchgate_config::rollout_table::RolloutTable;

/// A file of `routes` routes: ten to a host and a service, as far as they go.
fn text(routes: usize) -> String {
    let mut text = "listeners: [{ name: web, address: 127.0.0.1:0 }]\nservices:\n".to_owned();
    for service in 0..routes.div_ceil(10) {
        let _ = write!(text, "  - name: service-{service}\n    routes:\n");
        for route in 0..10.min(routes - service * 10) {
            let _ = writeln!(text, "      - {{ host: host-{service}.example.com, path_prefix: /api/v1/part-{route} }}");
        }
        let _ = writeln!(text, "    stable: {{ version: v1, endpoints: [\"10.0.0.1:9001\", \"10.0.0.2:9001\"] }}");
    }
    text
}

fn loaded(text: &str) -> Loaded {
    from_text("bench.yaml", text, &|_| None).expect("the text has no errors")
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for routes in [10, 1_000, 10_000] {
        let model = loaded(&text(routes)).model;
        let table = compile(&model, &RolloutTable::default(), 1).routes;
        let hosts: Vec<String> = (0..routes.div_ceil(10)).map(|host| format!("host-{host}.example.com")).collect();
        let mut at = 0;
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter(|| {
                // A step coprime to the number of hosts visits them all, in no order a cache can guess.
                at = (at + 617) % hosts.len();
                black_box(table.find(black_box(&hosts[at]), black_box("/api/v1/part-7/orders/42")))
            });
        });
    }
    group.finish();
}

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile 10000 routes, 1000 hosts, 1000 services");
    group.sample_size(20);
    let text = text(10_000);
    group.bench_function("from text", |bencher| {
        bencher.iter(|| {
            let model = loaded(black_box(&text)).model;
            compile(&model, &RolloutTable::from_model(&model), 1)
        });
    });
    let model = loaded(&text).model;
    group.bench_function("from model", |bencher| {
        bencher.iter(|| compile(black_box(&model), &RolloutTable::default(), 1));
    });
    group.finish();
}

criterion_group!(benches, find, whole);
criterion_main!(benches);
