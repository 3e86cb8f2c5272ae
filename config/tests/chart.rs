//! The Helm chart refuses what the reader refuses: its values' schema embeds the configuration's.
//! `PATCHGATE_BLESS=1` embeds it anew.

use std::path::Path;

use patchgate_config::load::schema;
use serde_json::{Map, Value};

#[test]
fn the_charts_schema_has_the_configurations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/patchgate/values.schema.json");
    let kept = std::fs::read_to_string(&path).expect("the chart has a schema");
    let mut chart: Value = serde_json::from_str(&kept).expect("it is JSON");
    assert_eq!(chart["properties"]["config"]["$ref"], "#/$defs/Config");
    chart["$defs"] = Value::Object(definitions());
    let written = format!("{chart:#}\n");
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(&path, &written).expect("it can be written");
        return;
    }
    assert!(kept == written, "values.schema.json is not what the types say; write it anew with PATCHGATE_BLESS=1");
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
