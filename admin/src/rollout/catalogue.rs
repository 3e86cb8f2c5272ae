//! `docs/events.md`, made of the event types: their names, fields and comments are the catalogue's. To write it anew:
//! `PATCHGATE_BLESS=1 cargo test -p patchgate-admin --lib catalogue`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;
use utoipa::{PartialSchema, ToSchema};

use super::event::{Envelope, Event};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.md");

const HEAD: &str = "\
# Events

What a record of the log holds, version 1. This file is made of the types in `admin/src/rollout`, and a test compares
the two. A payload is one JSON object with whole numbers only; times are milliseconds since 1970 (UTC), durations
milliseconds, shares millionths (10,000 is 1 %). What is optional is left out where it has no value. Events are never
edited: where a later version has another form, it reads this one as that.

`patchgate log show` and `GET /v1/events` tell them; [proof.md](proof.md) says how the stored bytes are hashed.
";

/// What the schemas call the type behind the alias `Millis`.
const NUMBER: &str = "u64";

/// A schema as this needs it: its comment, and its fields or its alternatives.
struct Shape<'a>(&'a Value);

impl<'a> Shape<'a> {
    fn comment(&self) -> String {
        // Of what may be absent, the comment is with what is there.
        let inner = || self.alternatives().find_map(|one| one.0["description"].as_str());
        self.0["description"].as_str().or_else(inner).unwrap_or_default().replace('\n', " ")
    }

    fn alternatives(&self) -> impl Iterator<Item = Shape<'a>> {
        self.0["oneOf"].as_array().into_iter().flatten().map(Shape)
    }

    /// Name, type, whether it may be absent, comment.
    fn fields(&self) -> impl Iterator<Item = (&'a str, String, bool, String)> {
        let required = |name: &str| self.0["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let fields = self.0["properties"].as_object().into_iter().flatten();
        fields.map(move |(name, field)| {
            let field = Shape(field);
            (name.as_str(), field.kind(), !required(name), field.comment())
        })
    }

    /// In a word or a link.
    fn kind(&self) -> String {
        let Self(schema) = self;
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return if name == NUMBER { "integer".to_owned() } else { format!("[{name}](#{})", name.to_lowercase()) };
        }
        // What may be absent is `null` or this; a referred type beside its own comment is a list of one.
        for list in ["oneOf", "anyOf", "allOf"] {
            let one = schema[list].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null"));
            if let Some(one) = one {
                return Shape(one).kind();
            }
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null")),
            kind => kind.as_str(),
        };
        match kind {
            Some("array") => format!("list of {}", Shape(&schema["items"]).kind()),
            Some("object") => {
                let optional = |optional| if optional { " (optional)" } else { "" };
                let fields =
                    self.fields().map(|(name, kind, absent, _)| format!("`{name}`: {kind}{}", optional(absent)));
                format!("an object of {}", Self::words(fields))
            }
            Some(kind) => kind.to_owned(),
            None => panic!("a type that the catalogue cannot tell: {schema:#}"),
        }
    }

    fn words(words: impl Iterator<Item = String>) -> String {
        words.collect::<Vec<_>>().join(", ")
    }

    fn table(&self, text: &mut String) {
        let fields: Vec<_> = self.fields().filter(|(name, ..)| *name != "type").collect();
        if fields.is_empty() {
            return;
        }
        text.push_str("\n| field | type | |\n| --- | --- | --- |\n");
        for (name, kind, optional, comment) in fields {
            let optional = if optional { " (optional)" } else { "" };
            writeln!(text, "| `{name}` | {kind}{optional} | {comment} |").unwrap();
        }
    }

    /// The values of a type that is one of several.
    fn choices(&self, text: &mut String) {
        text.push_str("\n| value | |\n| --- | --- |\n");
        for one in self.alternatives() {
            let value = match one.0["enum"][0].as_str() {
                Some(name) => format!("`\"{name}\"`"),
                None => {
                    let (name, kind, ..) = one.fields().next().expect("a value with content has its name");
                    format!("`{{\"{name}\": …}}`, … being {kind}")
                }
            };
            writeln!(text, "| {value} | {} |", one.comment()).unwrap();
        }
    }
}

fn value(schema: impl serde::Serialize) -> Value {
    serde_json::to_value(schema).unwrap()
}

fn written() -> String {
    let mut text = HEAD.to_owned();
    let (envelope, event) = (value(Envelope::schema()), value(Event::schema()));
    writeln!(text, "\n## Record\n\n{}", Shape(&envelope).comment()).unwrap();
    Shape(&envelope).table(&mut text);
    text.push_str("\n## Event\n\nThe object in `event`; its `type` says which of these it is.\n");
    for one in Shape(&event).alternatives() {
        let name = one.0["properties"]["type"]["enum"][0].as_str().expect("every event has its type");
        writeln!(text, "\n### `{name}`\n\n{}", one.comment()).unwrap();
        one.table(&mut text);
    }
    let mut parts = Vec::new();
    Envelope::schemas(&mut parts);
    let parts: BTreeMap<String, Value> = parts.into_iter().map(|(name, schema)| (name, value(schema))).collect();
    text.push_str("\n## Parts\n");
    for (name, schema) in parts.iter().filter(|(name, _)| !["Event", NUMBER].contains(&name.as_str())) {
        let shape = Shape(schema);
        writeln!(text, "\n### {name}\n\n{}", shape.comment()).unwrap();
        match (&schema["enum"], &schema["oneOf"]) {
            (Value::Array(names), _) => {
                writeln!(text, "\nOne of {}.", Shape::words(names.iter().map(|name| format!("`{name}`")))).unwrap();
            }
            (_, Value::Array(_)) => shape.choices(&mut text),
            _ if schema["properties"].is_object() => shape.table(&mut text),
            _ => writeln!(text, "\nA value of type {}.", shape.kind()).unwrap(),
        }
    }
    text
}

#[test]
fn the_catalogue_is_what_the_types_say() {
    let written = written();
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(FILE, &written).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(kept == written, "docs/events.md is not what the types say; write it anew with PATCHGATE_BLESS=1");
}
