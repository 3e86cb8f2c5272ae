//! serde over the tree. A [`Fault`] knows the way from the node that was read to the one that was refused.
//!
//! A scalar's type follows from what its field asks for, never from its looks: `version: 1.10` is the text `1.10`.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Entry, Kind, Node};
use crate::near::{list, suggest};
use crate::rules::{self, Rule};

/// Why a value was refused, and which.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Positions of children, innermost first.
    trail: Vec<usize>,
    /// Whether the key of the last position is meant, not its value.
    key: bool,
    /// Whether this only follows from what was cut before.
    pub(crate) told: bool,
    pub(crate) rule: &'static Rule,
    pub(crate) message: String,
    pub(crate) help: String,
}

// === impl Fault ===

impl Fault {
    fn new(rule: &'static Rule, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { trail: Vec::new(), key: false, told: false, rule, message: message.into(), help: help.into() }
    }

    fn wrong_type(node: &Node<'_>, expected: &str, help: &str) -> Self {
        Self::new(&rules::WRONG_TYPE, format!("expected {expected}, found {}", node.describe()), help)
    }

    fn under(mut self, position: usize) -> Self {
        self.trail.push(position);
        self
    }

    fn at_key(mut self, position: usize) -> Self {
        self.key = true;
        self.under(position)
    }

    /// The way to the node, outermost position first.
    pub(crate) fn trail(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.trail.iter().rev().copied()
    }

    /// Whether the key of the last position is meant.
    pub(crate) fn is_key(&self) -> bool {
        self.key
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// What the raw types' own scalars say: the message, and on a second line the remedy.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        let (message, help) = text.split_once('\n').unwrap_or((&text, ""));
        Self::new(&rules::INVALID_VALUE, message, help)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(&rules::UNKNOWN_FIELD, format!("unknown field `{field}`"), suggest(field, expected, "known here"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("`{variant}` is not one of {}", list(expected));
        Self::new(&rules::INVALID_VALUE, message, suggest(variant, expected, "known here"))
    }
}

// === impl Deserializer ===

/// Numbers, read from a plain scalar's text.
macro_rules! number {
    ($($method:ident => $visit:ident: $type:ty, $expected:literal;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.plain().and_then(|text| text.parse::<$type>().ok()) {
                Some(value) => visitor.$visit(value),
                None => Err(Fault::wrong_type(self, $expected, "write a number without quotes and units")),
            }
        })+
    };
}

impl<'de> Deserializer<'de> for &'de Node<'_> {
    type Error = Fault;

    /// Only for types that take several kinds of scalar; all of those want its text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => visitor.visit_borrowed_str(text),
            _ => Err(Fault::wrong_type(self, "text", "give one value here; quote it if it has special characters")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.plain() {
            Some("true" | "True" | "TRUE") => visitor.visit_bool(true),
            Some("false" | "False" | "FALSE") => visitor.visit_bool(false),
            _ => Err(Fault::wrong_type(self, "true or false", "write true or false, without quotes")),
        }
    }

    number! {
        deserialize_u32 => visit_u32: u32, "a whole number";
        deserialize_u64 => visit_u64: u64, "a whole number";
        deserialize_f64 => visit_f64: f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.kind {
            Kind::Sequence(items) => visitor.visit_seq(Items { items, position: 0 }),
            _ => Err(Fault::wrong_type(self, "a list", "write [A, B], or each entry on a line of its own after `- `")),
        }
    }

    /// Nothing counts as a mapping without entries.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.kind {
            Kind::Mapping(entries) => visitor.visit_map(Entries { entries, position: 0 }),
            _ if self.is_null() => visitor.visit_map(Entries { entries: &[], position: 0 }),
            _ => Err(Fault::wrong_type(self, "a mapping", &format!("its fields are {}", list(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let one_of = || Fault::wrong_type(self, &format!("one of {}", list(variants)), "give exactly one of them");
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => {
                visitor.visit_enum(Variant { name: text, position: None, value: None })
            }
            Kind::Mapping(entries) => {
                let mut live = entries.iter().enumerate().filter(|(_, entry)| !entry.value.cut);
                match (live.next(), live.next()) {
                    (Some((position, entry)), None) => visitor.visit_enum(Variant {
                        name: &entry.key,
                        position: Some(position),
                        value: Some(&entry.value),
                    }),
                    (None, _) if !entries.is_empty() => Err(Fault { told: true, ..one_of() }),
                    _ => Err(one_of()),
                }
            }
            _ => Err(one_of()),
        }
    }

    /// Whatever it is, it is not looked at.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct map
        identifier
    }
}

struct Items<'de, 't> {
    items: &'de [Node<'t>],
    position: usize,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        while let Some(item) = self.items.get(self.position) {
            let position = self.position;
            self.position += 1;
            if !item.cut {
                return seed.deserialize(item).map(Some).map_err(|fault| fault.under(position));
            }
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.position)
    }
}

struct Entries<'de, 't> {
    entries: &'de [Entry<'t>],
    position: usize,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        while let Some(entry) = self.entries.get(self.position) {
            if !entry.value.cut {
                let key = seed.deserialize(BorrowedStrDeserializer::new(&entry.key));
                return key.map(Some).map_err(|fault: Fault| fault.at_key(self.position));
            }
            self.position += 1;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let position = self.position;
        self.position += 1;
        match self.entries.get(position) {
            Some(entry) => seed.deserialize(&entry.value).map_err(|fault| fault.under(position)),
            None => Err(Fault::new(&rules::WRONG_TYPE, "a key without a value", "")),
        }
    }
}

/// `name`, or `name: value` as the only entry of a mapping.
struct Variant<'de, 't> {
    name: &'de str,
    position: Option<usize>,
    value: Option<&'de Node<'t>>,
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.name));
        let variant = variant.map_err(|fault: Fault| match self.position {
            Some(position) => fault.at_key(position),
            None => fault,
        })?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Fault::new(&rules::WRONG_TYPE, format!("`{}` takes no value", self.name), "write it alone")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match (self.value, self.position) {
            (Some(value), Some(position)) => seed.deserialize(value).map_err(|fault| fault.under(position)),
            _ => {
                let help = format!("write `{}: …`", self.name);
                Err(Fault::new(&rules::WRONG_TYPE, format!("`{}` needs a value", self.name), help))
            }
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("no field is of this kind"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], _visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("no field is of this kind"))
    }
}
