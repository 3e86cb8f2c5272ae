//! The Helm charts refuse what the reader refuses: their values' schemas embed the configuration's.
//! `PATCHGATE_BLESS=1` embeds it anew.

use std::path::Path;

use patchgate_config::load::schema;
use serde_json::{Map, Value};

#[test]
fn the_gateways_schema_has_the_configurations() {
    embeds("patchgate", definitions());
}

#[test]
fn the_sidecars_schema_has_its_parts() {
    let mut definitions = definitions();
    let config = definitions["Config"].as_object_mut().expect("it is a struct");
    config.remove("required");
    // These are for the chart to say: ports, grace period and hooks depend on them.
    for field in ["admin", "drain", "health", "listeners"] {
        let fields = config["properties"].as_object_mut().expect("it has fields");
        assert!(fields.remove(field).is_some(), "{field}");
    }
    embeds("patchgate-sidecar", definitions);
}

fn embeds(chart: &str, definitions: Map<String, Value>) {
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
    let path = charts.join(chart).join("values.schema.json");
    let kept = std::fs::read_to_string(&path).expect("the chart has a schema");
    let mut values: Value = serde_json::from_str(&kept).expect("it is JSON");
    assert_eq!(values["properties"]["config"]["$ref"], "#/$defs/Config");
    values["$defs"] = Value::Object(definitions);
    let written = format!("{values:#}\n");
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(&path, &written).expect("it can be written");
        return;
    }
    assert!(kept == written, "{} is not what the types say; write it anew with PATCHGATE_BLESS=1", path.display());
}

/// What the configuration's schema defines, and that itself: references within it stay what they are.
fn definitions() -> Map<String, Value> {
    let Value::Object(mut configuration) = schema() else { panic!("a schema is an object") };
    let Some(Value::Object(mut definitions)) = configuration.remove("$defs") else { panic!("it defines types") };
    configuration.remove("$schema");
    let other = definitions.insert("Config".to_owned(), Value::Object(configuration));
    assert!(other.is_none(), "another type has this name");
    definitions
}
