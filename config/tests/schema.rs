//! The JSON Schema says what the reader does: good files fit it, bad ones do not, its defaults are those in force.

mod common;

use patchgate_config::load::{from_text, schema};
use serde_json::{Map, Value, json};

/// As much of JSON Schema as the types make use of; patterns and formats are left to real validators.
struct Validator {
    root: Value,
}

impl Validator {
    fn new() -> Self {
        Self { root: schema() }
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.root.pointer(reference.trim_start_matches('#')).expect("references are within"),
            None => schema,
        }
    }

    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.resolve(schema);
        let any = |key: &str| schema[key].as_array().is_none_or(|of| of.iter().any(|one| self.accepts(one, value)));
        let one = |of: &Vec<Value>| of.iter().filter(|one| self.accepts(one, value)).count() == 1;
        any("anyOf")
            && schema["oneOf"].as_array().is_none_or(one)
            && (schema["not"].is_null() || !self.accepts(&schema["not"], value))
            && (schema["const"].is_null() || schema["const"] == *value)
            && schema["enum"].as_array().is_none_or(|values| values.contains(value))
            && is_of_type(&schema["type"], value)
            && value.as_f64().is_none_or(|number| within(schema, number))
            && value.as_array().is_none_or(|items| self.accepts_items(schema, items))
            && value.as_object().is_none_or(|fields| self.accepts_fields(schema, fields))
    }

    fn accepts_items(&self, schema: &Value, items: &[Value]) -> bool {
        items.len() as u64 >= schema["minItems"].as_u64().unwrap_or(0)
            && items.iter().all(|item| self.accepts(&schema["items"], item))
    }

    fn accepts_fields(&self, schema: &Value, fields: &Map<String, Value>) -> bool {
        let required = schema["required"].as_array().into_iter().flatten();
        let known = |name: &str| schema["properties"].get(name);
        required.into_iter().all(|name| name.as_str().is_some_and(|name| fields.contains_key(name)))
            && fields.iter().all(|(name, value)| match known(name) {
                Some(schema) => self.accepts(schema, value),
                None => schema["additionalProperties"] != json!(false),
            })
    }

    /// The schema of a struct's field, if that is a struct without required fields, or a list.
    fn block<'s>(&'s self, field: &'s Value) -> &'s Value {
        let alternatives = field["anyOf"].as_array().map(|of| &of[0]);
        self.resolve(alternatives.unwrap_or(field))
    }

    /// Writes every default into `value`, and every block that may be empty.
    fn fill(&self, schema: &Value, value: &mut Value) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let block = self.block(field);
            let may_be_empty = block["type"] == "object" && block["required"].is_null();
            // These mean something by being there.
            let optional = ["retry", "hedge", "admin", "rewrite"].contains(&name.as_str());
            if value[name].is_null() && !field["default"].is_null() {
                value[name] = field["default"].clone();
            } else if value[name].is_null() && may_be_empty && !optional {
                value[name] = json!({});
            }
            match &mut value[name] {
                Value::Array(items) => items.iter_mut().for_each(|item| self.fill(self.resolve(&block["items"]), item)),
                Value::Object(_) => self.fill(block, &mut value[name]),
                _ => {}
            }
            // Indexing has made a null of what stays absent.
            if value[name].is_null() {
                value.as_object_mut().and_then(|fields| fields.remove(name));
            }
        }
    }
}

fn is_of_type(expected: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    };
    match expected {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

fn within(schema: &Value, number: f64) -> bool {
    schema["minimum"].as_f64().is_none_or(|least| number >= least)
        && schema["maximum"].as_f64().is_none_or(|most| number <= most)
}

fn fixture(path: &std::path::Path) -> Value {
    serde_saphyr::from_str(&common::read(path)).expect("a fixture is YAML")
}

#[test]
fn every_good_file_fits() {
    let validator = Validator::new();
    for path in common::fixtures("good") {
        assert!(validator.accepts(&validator.root, &fixture(&path)), "{}", path.display());
    }
}

#[test]
fn files_with_unknown_fields_missing_fields_or_wrong_types_do_not() {
    let validator = Validator::new();
    for name in ["empty.yaml", "many-kinds-at-once.yaml", "not-a-mapping.yaml", "rollouts.yaml", "wrong-types.yaml"] {
        let path = common::fixtures("bad").into_iter().find(|path| path.ends_with(name)).unwrap();
        assert!(!validator.accepts(&validator.root, &fixture(&path)), "{name}");
    }
}

#[test]
fn a_rollout_is_one_patch_or_a_set() {
    let validator = Validator::new();
    let rollout = &validator.root["$defs"]["Rollout"];
    let patch = json!({ "service": "s", "version": "v", "endpoints": ["127.0.0.1:1"] });
    let with = |fields: &Value| {
        let mut value = json!({ "name": "n", "group": "g" });
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        validator.accepts(rollout, &value)
    };
    let set = json!({ "patches": [patch] });
    assert!(with(&patch) && with(&set));
    for bad in [
        json!({}),
        json!({ "service": "s", "version": "v" }),
        json!({ "patches": [] }),
        json!({ "patches": [{ "service": "s" }] }),
        json!({ "patches": [patch], "pin_version": true }),
        json!({ "patches": [patch], "service": "s", "version": "v", "endpoints": ["127.0.0.1:1"] }),
    ] {
        assert!(!with(&bad), "{bad}");
    }
}

#[test]
fn it_is_of_the_draft_that_it_names() {
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema()["title"], "patchgate configuration");
}

#[test]
fn every_struct_refuses_unknown_fields_and_explains_each_it_has() {
    fn walk(schema: &Value, path: &str) {
        if let Some(properties) = schema["properties"].as_object() {
            assert_eq!(schema["additionalProperties"], json!(false), "{path}");
            // The one field of an enum's variant is explained by the variant.
            let explained = |field: &Value| field["description"].is_string() || schema["description"].is_string();
            for (name, field) in properties {
                assert!(explained(field), "{path}/{name}");
            }
        }
        match schema {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(value, &format!("{path}/{name}"))),
            Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| walk(item, &format!("{path}/{at}"))),
            _ => {}
        }
    }
    walk(&schema(), "");
}

#[test]
fn its_defaults_are_those_in_force() {
    let validator = Validator::new();
    let least = common::fixtures("good").into_iter().find(|path| path.ends_with("least.yaml")).unwrap();
    let mut filled = fixture(&least);
    filled["admin"] = json!({});
    validator.fill(&validator.root, &mut filled);
    // These have defaults only where there are any.
    for service in filled["services"].as_array_mut().unwrap() {
        service.as_object_mut().unwrap().retain(|name, _| !["health_check", "rate_limit"].contains(&&**name));
    }
    assert_eq!(filled["listeners"][0]["limits"]["header_bytes"], "64KiB", "the defaults are written out");
    assert_eq!(filled["health"]["address"], "127.0.0.1:9902", "the defaults are written out");
    let load = |text: &str| from_text("f.yaml", text, &common::env).unwrap_or_else(|report| panic!("{report}")).model;
    assert_eq!(filled["admin"]["limits"]["watchers"], 2000, "the defaults are written out");
    let mut implicit = (*load(&format!("{}admin: {{}}\n", common::read(&least)))).clone();
    let explicit = load(&filled.to_string());
    implicit.digest.clone_from(&explicit.digest);
    assert_eq!(implicit, *explicit);
}
